// What host code knows of linear's CUDA kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace isoloss {

/// Rows that one block walks, and how many such pieces the rows of a call make: enough blocks to fill a GPU, few enough
/// partial sums.
struct LinearPieces {
  std::int64_t rows, count;

  explicit LinearPieces(std::int64_t m)
      : rows(std::max<std::int64_t>((m + 8191) / 8192 * 32, 32)), count((m + rows - 1) / rows) {}
};

inline std::size_t linear_backward_cuda_scratch(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(LinearPieces(rows).count * columns) * sizeof(float);
}

}  // namespace isoloss
