// Sums and maxima over a warp or a block, in a fixed order: every thread gets the same bits in every run.
#pragma once

#include "kernels/cuda/cuda.cuh"

namespace isoloss {

/// The sum over the `width` lanes of each aligned group (a power of two up to 32), in every lane.
template <int width = kWarp, class T>
DEVICE T warp_sum(T value) {
  UNROLL for (int step = width / 2; step > 0; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

/// Like fmaxf, but a NaN stays: the hardware's maximum would drop it.
DEVICE float nan_max(float a, float b) { return !(a >= b) && !(a != a) ? b : a; }

template <int width = kWarp>
DEVICE float warp_max(float value) {
  UNROLL for (int step = width / 2; step > 0; step /= 2) value =
      nan_max(value, __shfl_xor_sync(kWholeWarp, value, step));
  return value;
}

/// combine(a, b) over the warps of a row, whose threads share threadIdx.y, from what each warp has; in every thread.
/// blockDim.x, a multiple of 32, is known at run time only. A row of one warp needs no barrier; else all threads of the
/// block must come.
template <class T, class Combine>
DEVICE T row_reduce(T value, Combine combine) {
  SHARED(T, partial, [32]);
  const unsigned warps = blockDim.x / kWarp, first = threadIdx.y * warps;
  if (warps == 1) return value;
  __syncthreads();
  if (threadIdx.x % kWarp == 0) partial[first + threadIdx.x / kWarp] = value;
  __syncthreads();
  value = partial[first];
  for (unsigned warp = 1; warp < warps; ++warp) value = combine(value, partial[first + warp]);
  return value;
}
template <class T>
DEVICE T row_sum(T value) {
  return row_reduce(warp_sum(value), [](T a, T b) { return a + b; });
}
DEVICE float row_max(float value) { return row_reduce(warp_max(value), nan_max); }

/// The sum over a block of `threads` threads (a multiple of 32, at most 1024; one dimension), in every thread. Holds a
/// barrier before and after its use of shared memory, so that calls may follow each other.
template <int threads, class T>
DEVICE T block_sum(T value) {
  static_assert(threads % kWarp == 0 && threads <= 1024);
  value = warp_sum(value);
  if constexpr (threads > kWarp) {
    constexpr int kWarps = threads / kWarp;
    SHARED(T, partial, [kWarps]);
    __syncthreads();
    if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = T(0);
    UNROLL for (int warp = 0; warp < kWarps; ++warp) value += partial[warp];
  }
  return value;
}

template <int threads>
DEVICE float block_max(float value) {
  static_assert(threads % kWarp == 0 && threads <= 1024);
  value = warp_max(value);
  if constexpr (threads > kWarp) {
    constexpr int kWarps = threads / kWarp;
    SHARED(float, partial, [kWarps]);
    __syncthreads();
    if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = partial[0];
    UNROLL for (int warp = 1; warp < kWarps; ++warp) value = nan_max(value, partial[warp]);
  }
  return value;
}

}  // namespace isoloss
