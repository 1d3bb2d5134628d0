// The activation functions of kernels, value by value.
#include "kernels/ops/activation/activation.cuh"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/core/bf16.h"

namespace isoloss {

TEST_CASE("GELU on bf16: the normal distribution to 2^-14 of itself, its slope to 2^-14, for every bf16 to 13") {
  constexpr double kInverseRoot2 = 0.70710678118654752440;
  // The polynomial's 2^-14.9, and 2 ulp of ex2, 1 of rcp, and 6 or so of rounding, the exponent's 2^-24 · 122 among
  // them: together 2^-16.2 at most. Half an ulp of a bf16 is 2^-9.
  double cumulative = 0, slope = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float x = bf16_value(static_cast<std::uint16_t>(bits));
    if (!(std::abs(x) <= 13)) continue;
    const double wide = static_cast<double>(x), exact = 0.5 * std::erfc(-wide * kInverseRoot2);
    const double got = static_cast<double>(normal_of<bf16>(x).cumulative);
    const auto of_slope = static_cast<double>(activation_slope_on_device<Activation::gelu, bf16>(x));
    const double error = std::abs(got / exact - 1),
                 beside = std::abs(of_slope - activate_derivative(Activation::gelu, wide));
    cumulative = std::isnan(error) ? HUGE_VAL : std::max(cumulative, error);
    slope = std::isnan(beside) ? HUGE_VAL : std::max(slope, beside);
  }
  CHECK(cumulative <= 0x1p-14);
  CHECK(slope <= 0x1p-14);
}

TEST_CASE("GELU on bf16: far out it is 0 or x, its slope 0 or 1, and a NaN stays") {
  for (const float far : {20.0f, 1e10f, 3e38f}) {
    CAPTURE(far);
    CHECK(activate_on_device<Activation::gelu, bf16>(far) == far);
    CHECK(activate_on_device<Activation::gelu, bf16>(-far) == 0);
    CHECK(activation_slope_on_device<Activation::gelu, bf16>(far) == 1);
    CHECK(activation_slope_on_device<Activation::gelu, bf16>(-far) == 0);
  }
  CHECK(activate_on_device<Activation::gelu, bf16>(INFINITY) == INFINITY);
  CHECK(std::isnan(activate_on_device<Activation::gelu, bf16>(NAN)));
  CHECK(std::isnan(activation_slope_on_device<Activation::gelu, bf16>(NAN)));
}

}  // namespace isoloss
