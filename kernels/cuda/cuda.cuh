// The CUDA dialect that kernels are written in. nvcc compiles it for a GPU; g++ compiles the very same files for the
// host executor in kernels/simt, which runs every CUDA thread as a fiber. Kernels include this header and its
// neighbours (launch, reduce, pack, partials, sort, ptx, dispatch) and no CUDA header themselves.
//
//   SHARED(float, partial, [4][32]);       a static __shared__ array (or, without brackets, a variable)
//   DYNAMIC_SHARED(bf16, tiles);           bf16* tiles: the launch's dynamic shared memory
//   UNROLL for (…)                         #pragma unroll
//   UNROLL_BY(n) for (…)                   #pragma unroll n
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#define SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define DYNAMIC_SHARED(type, name)                                          \
  extern __shared__ __align__(1024) unsigned char isoloss_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(isoloss_dynamic_shared)
#define UNROLL _Pragma("unroll")
#define ISOLOSS_PRAGMA(text) _Pragma(#text)
#define UNROLL_BY(n) ISOLOSS_PRAGMA(unroll n)
#else
#include "kernels/simt/cuda.h"
#endif

#include "kernels/core/op.h"

#define DEVICE __device__ __forceinline__

namespace isoloss {

using bf16 = __nv_bfloat16;

template <>
inline constexpr DType dtype_of<__nv_bfloat16> = DType::bf16;

/// Kernels compute in float32 whatever they load.
DEVICE float to_float(float value) { return value; }
DEVICE float to_float(bf16 value) { return __bfloat162float(value); }

template <class T>
DEVICE T from_float(float value);
template <>
DEVICE float from_float<float>(float value) {
  return value;
}
template <>
DEVICE bf16 from_float<bf16>(float value) {
  return __float2bfloat16(value);
}

inline constexpr int kWarp = 32;
inline constexpr unsigned kWholeWarp = 0xFFFFFFFFu;

/// Blocks of `size` that cover `count`.
constexpr std::int64_t blocks_for(std::int64_t count, std::int64_t size) { return (count + size - 1) / size; }

}  // namespace isoloss
