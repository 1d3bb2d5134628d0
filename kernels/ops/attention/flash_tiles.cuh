// Tiles of queries, keys and values in shared memory, for the flash attention kernels that compute in float32.
//
// A block of 128 threads owns 32 rows (queries, or keys in the backward pass of keys and values) and walks over tiles
// of 32 others. Four neighbouring lanes share a row: for products of rows each takes every fourth partner, for sums
// over partners every fourth column. So rows never leave their warp, and what a row needs is exchanged by shuffles.
#pragma once

#include "kernels/cuda/reduce.cuh"
#include "kernels/ops/attention/flash_call.cuh"

namespace isoloss::flash {

inline constexpr int kTile = 32, kThreads = 128, kLanes = 4;

/// A tile of rows in shared memory; a row is padded by one float, so that the same column of 32 rows lies in 32 banks.
template <int width>
struct Tile {
  float* rows;
  static constexpr int kFloats = kTile * (width + 1);
  DEVICE float* row(int r) const { return rows + r * (width + 1); }

  /// Rows first … first + 31 of a matrix whose rows lie `step` elements apart; zeros beyond row `end` and column D.
  template <class T>
  DEVICE void load(const T* from, std::int64_t step, int first, int end, int D) const {
    for (int i = static_cast<int>(threadIdx.x); i < kTile * width; i += kThreads) {
      const int r = i / width, c = i % width;
      row(r)[c] = first + r < end && c < D ? to_float(from[(first + r) * step + c]) : 0.0f;
    }
  }
};

template <int width>
DEVICE float dot(const float* a, const float* b) {
  float sum = 0;
  UNROLL for (int c = 0; c < width; ++c) sum += a[c] * b[c];
  return sum;
}

/// The smallest compiled width that holds heads of D columns; an error where there is none.
template <class Body>
void with_width(const char* op, std::int64_t D, Body&& body) {
  expect_flash_width(op, D);
  if (D <= 32) return body(std::integral_constant<int, 32>{});
  if (D <= 64) return body(std::integral_constant<int, 64>{});
  body(std::integral_constant<int, 128>{});
}

}  // namespace isoloss::flash
