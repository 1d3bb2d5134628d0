// The second stage of deterministic sums: partial results of blocks, added in a fixed order.
#pragma once

#include "kernels/core/launch.cuh"

namespace isoloss {

inline constexpr int kPartialGroups = 32;

/// out[c] (+)= sum over r of partial[r, c]. Threads (x: a column, y: a group of rows); group g takes rows g, g + 32, …,
/// and the groups are added in order.
template <class T>  // float; a template so that every source may hold it
__global__ void __launch_bounds__(32 * kPartialGroups)
    sum_partial_rows(T* out, const T* partial, std::int64_t rows, std::int64_t width, bool accumulate) {
  SHARED(T, sums, [kPartialGroups][33]);
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * 32 + threadIdx.x;
  T sum = 0;
  if (c < width) {
    for (std::int64_t r = threadIdx.y; r < rows; r += kPartialGroups) sum += partial[r * width + c];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= width) return;
  T total = accumulate ? out[c] : T(0);
  for (int group = 0; group < kPartialGroups; ++group) total += sums[group][threadIdx.x];
  out[c] = total;
}

inline void sum_partials(DeviceContext& context, float* out, const float* partial, std::int64_t rows,
                         std::int64_t width, bool accumulate) {
  launch(context, sum_partial_rows<float>, static_cast<unsigned>(blocks_for(width, 32)), dim3(32, kPartialGroups), 0,
         out, partial, rows, width, accumulate);
}

}  // namespace isoloss
