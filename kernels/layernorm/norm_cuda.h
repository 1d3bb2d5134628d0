// What host code knows of the norms' CUDA kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace isoloss {

/// Blocks of a backward pass over `groups` groups of rows, each with one partial dw and db: four for each of the 132
/// multiprocessors of an H100 or H200. A function of the shape alone, so that the sums are the same everywhere.
inline std::int64_t norm_blocks(std::int64_t groups) { return std::min<std::int64_t>(groups, 528); }

inline std::size_t norm_backward_cuda_scratch(std::int64_t rows, std::int64_t width) {
  return static_cast<std::size_t>(norm_blocks(rows) * width) * 2 * sizeof(float);
}

}  // namespace isoloss
