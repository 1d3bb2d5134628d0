// What host code knows of the norms' CUDA kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/core/op.h"

namespace isoloss {

/// Packs of n elements of a row that one thread holds, and the largest block: so that what a thread of the backward
/// pass holds, two sums for each of its columns above all, fits its registers.
template <int n>
inline constexpr int kNormPacks = n == 1 ? 4 : 3;
template <int n>
inline constexpr int kNormThreads = n == 1 ? 1024 : 512;

/// Throws Error (exit 2) unless one block holds a row.
inline void expect_norm_width(std::string_view op, DType dtype, std::int64_t width) {
  const std::int64_t pack = 16 / static_cast<std::int64_t>(bytes_of(dtype));
  const std::int64_t most =
      width % pack == 0 ? pack * kNormPacks<4> * kNormThreads<4> : std::int64_t{kNormPacks<1>} * kNormThreads<1>;
  expect(width <= most, op, "rows of at most " + std::to_string(most) + " columns on cuda", std::to_string(width));
}

/// Blocks of a backward pass over `groups` groups of rows, each with one partial dw and db: four for each of the 132
/// multiprocessors of an H100 or H200. A function of the shape alone, so that the sums are the same everywhere.
inline std::int64_t norm_blocks(std::int64_t groups) { return std::min<std::int64_t>(groups, 528); }

inline std::size_t norm_backward_cuda_scratch(std::int64_t rows, std::int64_t width) {
  return static_cast<std::size_t>(norm_blocks(rows) * width) * 2 * sizeof(float);
}

}  // namespace isoloss
