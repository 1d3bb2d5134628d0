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

/// Sixteen operands of a sum.
struct SumOperands {
  double value[16];
  int exponent[16];
  void set(unsigned k, float operand) { value[k] = static_cast<double>(operand), exponent[k] = exponent_of(operand); }
};

/// sum + left · right as the tensor cores of an H100 compute it: the sixteen products, which are exact, and the sum are
/// cut off two bits below the last bit that a float with the largest of their exponents has, added, and cut off again
/// to a float. Source: Khattak and Mikaitis, "Accurate Models of NVIDIA Tensor Cores", arXiv 2512.07004. (An A100 does
/// the same with eight products at a time.) A plain sum of floats would be rather more exact than the hardware.
inline float tensor_core_sum(float sum, const SumOperands& left, const SumOperands& right) {
  int exponent = exponent_of(sum);
  double products[16];
  for (int k = 0; k < 16; ++k) {
    products[k] = left.value[k] * right.value[k];
    const int of_product = left.exponent[k] + right.exponent[k];
    exponent = of_product > exponent ? of_product : exponent;
  }
  if (exponent > 127) {  // infinities, NaN, and sums that may become infinite
    double plain = static_cast<double>(sum);
    for (const double product : products) plain += product;
    return static_cast<float>(plain);
  }
  const double scale = power_of_two(25 - (exponent > -133 ? exponent : -133));
  const auto cut = [scale](double term) { return static_cast<double>(static_cast<std::int32_t>(term * scale)); };
  double total = cut(static_cast<double>(sum));
  for (const double product : products) total += cut(product);
  const auto bits = std::bit_cast<std::uint64_t>(total / scale) & ~((std::uint64_t{1} << 29) - 1);
  return static_cast<float>(std::bit_cast<double>(bits));
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
