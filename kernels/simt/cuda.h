// The CUDA dialect for g++: what kernels/cuda/cuda.cuh takes from the toolkit's headers under nvcc. Only what kernels
// use is here; it needs no CUDA toolkit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/base/sanitized.h"
#include "kernels/core/bf16.h"
#include "kernels/simt/arithmetic.h"
#include "kernels/simt/executor.h"

#define __global__ __attribute__((noinline)) static  // so that reports and debuggers know it by its name
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define SHARED(type, name, ...) auto& name = ::simt::shared_variable<type __VA_ARGS__, decltype([] {})>()
#define DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::simt::dynamic_shared())
#define UNROLL
#define UNROLL_BY(n)
#define SIMT_WHERE ::simt::Location where = ::simt::Location::current()

#if defined(ISOLOSS_THREAD_SANITIZED)
// Compilers do not watch the functions of <cstring>; under watch their calls go to race_hooks.cpp.
asm("memcpy = simt_memcpy\n memmove = simt_memmove\n memset = simt_memset");
#endif

using dim3 = simt::Dim3;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct __nv_bfloat16 {
  std::uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline __nv_bfloat16 __float2bfloat16(float value) { return {isoloss::bf16_bits(value)}; }
inline float __bfloat162float(__nv_bfloat16 value) { return isoloss::bf16_value(value.bits); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__float2bfloat16(x), __float2bfloat16(y)}; }

inline void __syncthreads(SIMT_WHERE) { simt::block_barrier(false, where); }
inline int __syncthreads_or(int predicate, SIMT_WHERE) { return simt::block_barrier(predicate != 0, where) != 0; }
inline int __syncthreads_count(int predicate, SIMT_WHERE) { return simt::block_barrier(predicate != 0, where); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, SIMT_WHERE) {
  simt::meet(mask, simt::Collective::sync, nullptr, nullptr, nullptr, where);
}

namespace simt {

template <class T>
struct Shuffled {
  T value;
  unsigned source;
};

/// Every lane gets the value of its source lane; that of a lane which is not there is undefined, here NaN.
template <class T>
T shuffle(unsigned mask, T value, unsigned source, Location where) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  const Shuffled<T> in{value, source};
  T out{};
  meet(
      mask, Collective::shuffle, &in, &out,
      [](Meeting& meeting) {
        for (unsigned l = 0; l < 32; ++l) {
          if ((meeting.arrived >> l & 1) == 0) continue;
          const unsigned from = static_cast<const Shuffled<T>*>(meeting.in[l])->source;
          if ((meeting.arrived >> from & 1) == 0) {
            std::memset(meeting.out[l], 0xFF, sizeof(T));
          } else {
            *static_cast<T*>(meeting.out[l]) = static_cast<const Shuffled<T>*>(meeting.in[from])->value;
          }
        }
      },
      where);
  return out;
}

inline unsigned vote(unsigned mask, bool predicate, Location where) {
  unsigned out = 0;
  meet(
      mask, Collective::vote, &predicate, &out,
      [](Meeting& meeting) {
        unsigned ballot = 0;
        for (unsigned l = 0; l < 32; ++l) {
          if ((meeting.arrived >> l & 1) != 0 && *static_cast<const bool*>(meeting.in[l])) ballot |= 1u << l;
        }
        for (unsigned l = 0; l < 32; ++l) {
          if ((meeting.arrived >> l & 1) != 0) *static_cast<unsigned*>(meeting.out[l]) = ballot;
        }
      },
      where);
  return out;
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, SIMT_WHERE) {
  return simt::shuffle(mask, value, static_cast<unsigned>(source) % 32, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, SIMT_WHERE) {
  return simt::shuffle(mask, value, simt::lane() ^ static_cast<unsigned>(bits), where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, SIMT_WHERE) {
  const unsigned lane = simt::lane();
  return simt::shuffle(mask, value, lane >= delta ? lane - delta : lane, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, SIMT_WHERE) {
  const unsigned lane = simt::lane();
  return simt::shuffle(mask, value, lane + delta < 32 ? lane + delta : lane, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return simt::vote(mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_WHERE) { return simt::vote(mask, predicate != 0, where) != 0; }

namespace simt {

/// Threads switch only at collectives, so a plain read-modify-write is atomic.
template <class T, class Change>
[[gnu::noinline]] T change_atomically(T* at, Change change) {
  const ExecutorCode here;
  touch(at, sizeof(T), Touch::atomic, __builtin_return_address(0));
  const T before = *at;
  *at = change(before);
  return before;
}

}  // namespace simt

template <class T>
__forceinline__ T atomicAdd(T* at, std::type_identity_t<T> value) {
  return simt::change_atomically(at, [value](T before) { return static_cast<T>(before + value); });
}
template <class T>
__forceinline__ T atomicMin(T* at, std::type_identity_t<T> value) {
  return simt::change_atomically(at, [value](T before) { return value < before ? value : before; });
}

template <class T>
T __ldg(const T* from) {
  return *from;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline float __fdividef(float a, float b) { return simt::divide_approx(a, b); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
template <class T>
constexpr T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}
