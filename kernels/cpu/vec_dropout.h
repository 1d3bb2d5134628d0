// The dropout mask of dropout.h, many elements at a time: the same draws, bit for bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/core/dropout.h"
#include "kernels/cpu/vec.h"

namespace isoloss {

namespace detail {

// Philox works on 64-bit products of 32-bit halves, so each block lives in 64-bit lanes and only the low half of c0…c3
// counts; what gathers in the high halves is never read.
inline constexpr int kPhiloxLanes = kVecWidth / 2;
using PhiloxLanes = NativeVec<std::uint64_t, kPhiloxLanes>::type;

inline PhiloxLanes multiply_low_halves(PhiloxLanes a, std::uint64_t b) {
  const PhiloxLanes factor = b - PhiloxLanes{};
#if defined(__AVX512F__)
  return PhiloxLanes(_mm512_maskz_mul_epu32(0xff, __m512i(a), __m512i(factor)));
#elif defined(__AVX2__)
  return PhiloxLanes(_mm256_mul_epu32(__m256i(a), __m256i(factor)));
#elif defined(__SSE2__)
  return PhiloxLanes(_mm_mul_epu32(__m128i(a), __m128i(factor)));
#else
  return (a & 0xffffffffu) * factor;
#endif
}

/// Draws of blocks first … first + kPhiloxLanes - 1 in order: 2 · kVecWidth values in two registers.
inline void philox_lanes(std::uint64_t key, std::uint64_t stream, std::uint64_t first, NativeBits& low,
                         NativeBits& high) {
#if defined(__AVX512F__)
  const PhiloxLanes order = {0, 4, 1, 5, 2, 6, 3, 7};  // so that the interleaving below ends in the natural order
#elif defined(__AVX2__)
  const PhiloxLanes order = {0, 2, 1, 3};
#else
  const PhiloxLanes order = {0, 1};
#endif
  const PhiloxLanes index = order + first;
  PhiloxLanes c0 = index, c1 = index >> 32, c2 = stream - PhiloxLanes{}, c3 = c2 >> 32;
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const PhiloxLanes p0 = multiply_low_halves(c0, 0xD2511F53u);
    const PhiloxLanes p1 = multiply_low_halves(c2, 0xCD9E8D57u);
    c0 = (p1 >> 32) ^ c1 ^ std::uint64_t{k0};
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ std::uint64_t{k1};
    c3 = p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  const PhiloxLanes front = (c0 & 0xffffffffu) | (c1 << 32), back = (c2 & 0xffffffffu) | (c3 << 32);
#if defined(__AVX512F__)
  low = NativeBits(__builtin_shufflevector(front, back, 0, 8, 2, 10, 4, 12, 6, 14));
  high = NativeBits(__builtin_shufflevector(front, back, 1, 9, 3, 11, 5, 13, 7, 15));
#elif defined(__AVX2__)
  low = NativeBits(__builtin_shufflevector(front, back, 0, 4, 2, 6));
  high = NativeBits(__builtin_shufflevector(front, back, 1, 5, 3, 7));
#else
  low = NativeBits(__builtin_shufflevector(front, back, 0, 2));
  high = NativeBits(__builtin_shufflevector(front, back, 1, 3));
#endif
}

/// `kept` where the draw is at or above the threshold, else 0.
inline Vec kept_or_zero(NativeBits draws, std::uint32_t threshold, Vec kept) {
#if defined(__AVX512F__)
  const VecMask keep(_mm512_cmpge_epu32_mask(__m512i(draws), _mm512_set1_epi32(static_cast<int>(threshold))));
#else
  const VecMask keep(VecMask::Native(draws >= threshold));
#endif
  return select(keep, kept, 0.0f);
}

}  // namespace detail

/// Elements one call of `dropout_factors(mask, first_block, …)` covers.
inline constexpr int kDropoutGroup = 4 * kVecWidth;

/// Factors (0 or mask.scale) of the elements 4 · first_block … 4 · first_block + kDropoutGroup - 1.
inline void dropout_factors(const DropoutMask& mask, std::uint64_t first_block, Vec (&factors)[4]) {
  const Vec kept(static_cast<float>(mask.scale));
  for (int half = 0; half < 2; ++half) {  // two independent chains hide the latency of the multiplications
    detail::NativeBits low, high;
    detail::philox_lanes(mask.key, mask.step, first_block + static_cast<std::uint64_t>(half * detail::kPhiloxLanes),
                         low, high);
    factors[2 * half] = detail::kept_or_zero(low, mask.threshold, kept);
    factors[2 * half + 1] = detail::kept_or_zero(high, mask.threshold, kept);
  }
}

/// Factors of elements element … element + n - 1 into `factors`, whatever their alignment to blocks of four.
inline void dropout_factors(const DropoutMask& mask, std::uint64_t element, std::int64_t n, float* factors) {
  std::int64_t skipped = static_cast<std::int64_t>(element % 4);
  for (std::int64_t at = 0; at < n;) {
    Vec group[4];
    dropout_factors(mask, (element + static_cast<std::uint64_t>(at)) / 4, group);
    const std::int64_t wanted = std::min<std::int64_t>(kDropoutGroup - skipped, n - at);
    if (wanted == kDropoutGroup) {
      for (int i = 0; i < 4; ++i) group[i].store(factors + at + i * kVecWidth);
    } else {
      alignas(64) float whole[kDropoutGroup];
      for (int i = 0; i < 4; ++i) group[i].store(whole + i * kVecWidth);
      std::copy_n(whole + skipped, wanted, factors + at);
    }
    at += wanted;
    skipped = 0;
  }
}

}  // namespace isoloss
