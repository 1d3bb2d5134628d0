// Arithmetic in which a GPU is less exact than C++: tensor cores and the special function unit. As inexact as
// documented or measured, so that a tolerance that only a better arithmetic meets fails here and not on the hardware.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace simt {

/// The exponent of a float; of zero below, of infinities and NaN above that of every product of others.
inline int exponent_of(float value) {
  const int biased = static_cast<int>(std::bit_cast<std::uint32_t>(value) >> 23 & 0xFF);
  if (biased == 0xFF) return 10000;
  return value == 0 ? -1000 : (biased > 0 ? biased : 1) - 127;
}

/// 2^exponent, for exponents of normal doubles.
inline double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

/// A row of the left operand of a product of matrices.
struct LeftRow {
  double value[16];
  int exponent[16];
  void set(unsigned k, float operand) { value[k] = static_cast<double>(operand), exponent[k] = exponent_of(operand); }
};
// Eight columns are summed side by side; compilers turn these types into vector instructions.
typedef double Doubles8 __attribute__((vector_size(64)));
typedef std::int64_t Flags8 __attribute__((vector_size(64)));
typedef std::int32_t Integers8 __attribute__((vector_size(32)));

struct RightColumns {
  Doubles8 value[16];
  Integers8 exponent[16];
  void set(unsigned k, unsigned column, float operand) {
    value[k][column] = static_cast<double>(operand), exponent[k][column] = exponent_of(operand);
  }
};

/// sums += left · right as the tensor cores of an H100 compute it: the sixteen products of a sum, which are exact, and
/// the sum are cut off two bits below the last bit that a float with the largest of their exponents has, added, and cut
/// off again to a float. Source: Khattak and Mikaitis, "Accurate Models of NVIDIA Tensor Cores", arXiv 2512.07004. (An
/// A100 does the same with eight products at a time.) A plain sum of floats would be rather more exact than the
/// hardware.
inline void tensor_core_sums(float (&sums)[8], const LeftRow& left, const RightColumns& right) {
  Integers8 exponents;
  for (int c = 0; c < 8; ++c) exponents[c] = exponent_of(sums[c]);
  for (int k = 0; k < 16; ++k) {
    const Integers8 of_products = left.exponent[k] + right.exponent[k];
    exponents = of_products > exponents ? of_products : exponents;
  }
  Doubles8 before, scales;
  Flags8 cut_off;  // all but infinities, NaN, and sums that may become infinite
  bool all = true;
  for (int c = 0; c < 8; ++c) {
    const int exponent = exponents[c];
    before[c] = static_cast<double>(sums[c]);
    cut_off[c] = exponent <= 127 ? -1 : 0, all = all && exponent <= 127;
    scales[c] = power_of_two(25 - (exponent > 127 ? 127 : exponent > -133 ? exponent : -133));
  }
  // Cut off, terms are whole numbers of at most 31 bits, so that their sum is exact.
  const Doubles8 nothing{};
  Doubles8 terms = before * scales;
  Doubles8 totals = __builtin_convertvector(__builtin_convertvector(cut_off ? terms : nothing, Integers8), Doubles8);
  for (int k = 0; k < 16; ++k) {
    terms = left.value[k] * right.value[k] * scales;
    totals += __builtin_convertvector(__builtin_convertvector(cut_off ? terms : nothing, Integers8), Doubles8);
  }
  totals /= scales;
  for (int c = 0; c < 8; ++c) {
    const double total = totals[c];
    const auto bits = std::bit_cast<std::uint64_t>(total) & ~((std::uint64_t{1} << 29) - 1);
    sums[c] = static_cast<float>(std::bit_cast<double>(bits));
  }
  if (all) return;
  for (int k = 0; k < 16; ++k) before += left.value[k] * right.value[k];
  for (int c = 0; c < 8; ++c) sums[c] = cut_off[c] != 0 ? sums[c] : static_cast<float>(before[c]);
}

/// An error of `ulp` units in the last place, up or down by bits of `draw`: a function of the operands alone, as in
/// hardware.
inline float off_by(float value, int ulp, std::uint32_t draw) {
  if (!(std::abs(value) >= 0x1p-126f && std::abs(value) < 0x1p126f)) return value;
  const bool up = (draw * 0x9E3779B9u >> 31) != 0;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) + static_cast<std::uint32_t>(up ? ulp : -ulp));
}

/// ex2.approx.ftz.f32: subnormal operands count as zero, subnormal results become zero, and the result is as far off as
/// the PTX ISA allows, 2 units in the last place; up or down is the same for neighbouring operands, since hardware
/// interpolates in a table. Whole powers are exact.
inline float exp2_approx(float x) {
  if (std::abs(x) < 0x1p-126f) return 1;
  const float exact = std::exp2(x);
  if (exact < 0x1p-126f) return 0;
  const float fraction = x - std::floor(x);
  return fraction > 0 ? off_by(exact, 2, static_cast<std::uint32_t>(fraction * 64)) : exact;  // a NaN stays
}

/// rcp.approx.ftz.f32: off by 1 unit in the last place, without subnormal operands and results.
inline float reciprocal_approx(float x) {
  if (std::abs(x) < 0x1p-126f) return std::copysign(INFINITY, x);
  const float exact = 1 / x;
  return std::abs(exact) < 0x1p-126f ? std::copysign(0.0f, x) : off_by(exact, 1, std::bit_cast<std::uint32_t>(x) >> 17);
}

/// __fdividef, which is div.approx.f32: off by 2 units in the last place, and 0 (or NaN) for divisors beyond 2^126.
inline float divide_approx(float a, float b) {
  if (std::abs(b) > 0x1p126f && std::isfinite(b)) return std::isinf(a) ? NAN : 0.0f;
  return off_by(a / b, 2, std::bit_cast<std::uint32_t>(b) >> 17);
}

}  // namespace simt
