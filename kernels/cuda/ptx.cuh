// Instructions that C++ has no words for, wrapped once: PTX for a GPU, their meaning in plain C++ for the host
// executor. All need sm_80.
#pragma once

#include "kernels/cuda/cuda.cuh"

#if defined(__CUDACC__)
// nvcc compiles for the host as well, where nothing calls these: there they are empty.
#if defined(__CUDA_ARCH__)
#define ISOLOSS_PTX(device, host) device
#else
#define ISOLOSS_PTX(device, host)
#endif
#define ISOLOSS_WHERE
#define ISOLOSS_ONLY_WHERE
#else
#include "kernels/simt/ptx_host.h"
#define ISOLOSS_PTX(device, host) host
#define ISOLOSS_WHERE , ::simt::Location where = ::simt::Location::current()
#define ISOLOSS_ONLY_WHERE ::simt::Location where = ::simt::Location::current()
#endif

namespace isoloss {

#if defined(__CUDACC__)
/// The 32-bit address of shared memory that PTX instructions take.
DEVICE std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}
#endif

// clang-format off
/// Four 8x8 matrices of bf16 from shared memory; lane 8·m + i points to row i (16 bytes) of matrix m.
DEVICE void ldmatrix(std::uint32_t (&fragment)[4], const void* row ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                   : "r"(shared_address(row)) : "memory"),
      simt::load_matrices<false>(fragment, row, where));
}
/// The same, each matrix transposed.
DEVICE void ldmatrix_transposed(std::uint32_t (&fragment)[4], const void* row ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                   : "r"(shared_address(row)) : "memory"),
      simt::load_matrices<true>(fragment, row, where));
}
/// d[16,8] += a[16,16] · b[16,8]: operands bf16, sums float32.
DEVICE void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1 ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1)),
      simt::multiply_matrices(d, a, b0, b1, where));
}
/// Starts copying 16 bytes from global to shared memory; zeros where not `valid`.
DEVICE void copy_async(void* shared, const void* global, bool valid ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                   :: "r"(shared_address(shared)), "l"(global), "r"(valid ? 16 : 0) : "memory"),
      simt::copy_async(shared, global, 16, valid ? 16 : 0, where));
}
/// The same for 4 bytes.
DEVICE void copy_word_async(void* shared, const void* global, bool valid ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                   :: "r"(shared_address(shared)), "l"(global), "r"(valid ? 4 : 0) : "memory"),
      simt::copy_async(shared, global, 4, valid ? 4 : 0, where));
}
/// Ends a group of copies.
DEVICE void commit_copies() { ISOLOSS_PTX(asm volatile("cp.async.commit_group;" ::: "memory"), simt::commit_copies()); }
/// Waits until at most `left` groups of this thread's copies are under way; a barrier makes them visible to others.
template <int left>
DEVICE void wait_copies() {
  ISOLOSS_PTX(asm volatile("cp.async.wait_group %0;" :: "n"(left) : "memory"), simt::wait_copies(left));
}
/// Stores 16 bytes in global memory at once. Written in C++, a struct whose elements were computed one by one is often
/// stored one by one.
DEVICE void store_global(void* to, const uint4& words ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("st.global.v4.b32 [%0], {%1,%2,%3,%4};"
                   :: "l"(__cvta_generic_to_global(to)), "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w) : "memory"),
      simt::store_aligned(to, words, where));
}
/// The same for 8 bytes.
DEVICE void store_global(void* to, const uint2& words ISOLOSS_WHERE) {
  ISOLOSS_PTX(
      asm volatile("st.global.v2.b32 [%0], {%1,%2};"
                   :: "l"(__cvta_generic_to_global(to)), "r"(words.x), "r"(words.y) : "memory"),
      simt::store_aligned(to, words, where));
}
/// Brings the line of a global address into the second-level cache.
DEVICE void prefetch(const void* from) {
  ISOLOSS_PTX(asm volatile("prefetch.global.L2 [%0];" :: "l"(__cvta_generic_to_global(from))), (void)from);
}
/// 2^x by the special function unit, within 2 ulp; 0 where that is below 2^-126, so of -inf, too.
DEVICE float exp2_approx(float x) {
  float y = 0;
  ISOLOSS_PTX(asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)), y = simt::exp2_approx(x));
  return y;
}
/// 1 / x by the special function unit, within 1 ulp where x and 1 / x are normal.
DEVICE float reciprocal_approx(float x) {
  float y = 0;
  ISOLOSS_PTX(asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)), y = simt::reciprocal_approx(x));
  return y;
}
// clang-format on

/// Two floats as neighbouring bf16, the first in the lower half.
DEVICE std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  std::uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

}  // namespace isoloss
