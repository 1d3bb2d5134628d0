// The second stage of deterministic sums: partial results of blocks, added in a fixed order.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace isoloss {

inline constexpr int kPartialGroups = 32;

/// out [width] (+)= the sum over the rows of partial [rows, width]; not wanted where out is null.
template <class T>
struct PartialSum {
  T* out = nullptr;
  const T* partial = nullptr;
  bool accumulate = false;
};

/// Threads (x: a column, y: a group of rows); group g takes rows g, g + 32, …, and the groups are added in order.
/// blockIdx.y chooses the sum.
template <class T>  // float; a template so that every source may hold it
__global__ void __launch_bounds__(32 * kPartialGroups)
    sum_partial_rows(PartialSum<T> first, PartialSum<T> second, int rows, int width) {
  SHARED(T, sums, [kPartialGroups][33]);
  const PartialSum<T> own = blockIdx.y == 0 ? first : second;
  const int c = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
  const T* const column = own.partial + c;
  T sum = 0;
  if (c < width) {
    UNROLL_BY(8) for (int r = static_cast<int>(threadIdx.y); r < rows; r += kPartialGroups) {
      sum += column[std::int64_t{r} * width];
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= width) return;
  T total = own.accumulate ? own.out[c] : T(0);
  UNROLL for (int group = 0; group < kPartialGroups; ++group) total += sums[group][threadIdx.x];
  own.out[c] = total;
}

/// One or two sums of the same shape in one launch.
inline void sum_partials(DeviceContext& context, PartialSum<float> first, PartialSum<float> second, std::int64_t rows,
                         std::int64_t width) {
  if (first.out == nullptr) std::swap(first, second);
  if (first.out == nullptr) return;
  const dim3 grid(static_cast<unsigned>(blocks_for(width, 32)), second.out == nullptr ? 1 : 2);
  launch(context, sum_partial_rows<float>, grid, dim3(32, kPartialGroups), 0, first, second, rows, width);
}

}  // namespace isoloss
