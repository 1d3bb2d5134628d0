#include "kernels/ops/activation/activation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/ops/activation/activation_vec.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("activation") {
  for (const int kind : {0, 1, 2, 3}) {
    CAPTURE(kind);
    const double activation = kind;
    check_op({.name = "one row",
              .op = "activation",
              .attributes = {{"activation", activation}},
              .inputs = {{"x", f32({3, 7})}}});
    check_op({.name = "several tasks",
              .op = "activation",
              .attributes = {{"activation", activation}},
              .inputs = {{"x", f32({3, 10007}), Fill::normal(0, 2)}}});
    // Far out the exponentials underflow and the error function saturates.
    check_op({.name = "far out",
              .op = "activation",
              .attributes = {{"activation", activation}},
              .inputs = {{"x", f32({2000}), Fill::uniform(-40, 40)}}});
  }
}

TEST_CASE("activation: known values") {
  // x · Φ(x) at 1 and -2, and the tanh form at 1, in 16 digits.
  CHECK(activate(Activation::gelu, 1.0) == doctest::Approx(0.8413447460685429).epsilon(1e-15));
  CHECK(activate(Activation::gelu, -2.0) == doctest::Approx(-0.04550026389635842).epsilon(1e-13));
  CHECK(activate(Activation::gelu_tanh, 1.0) == doctest::Approx(0.8411919906082768).epsilon(1e-15));
  CHECK(activate(Activation::relu2, 3.0) == 9.0);
  CHECK(activate(Activation::relu2, -3.0) == 0.0);
  CHECK(activate(Activation::none, -3.0) == -3.0);
}

TEST_CASE("activation: GELU's distribution and slope on registers") {
  double cumulative = 0, slope = 0;
  for (int i = -800'000; i <= 800'000; ++i) {
    const float x = static_cast<float>(i) * 1e-5f;  // both sides of where the quotients end
    const double exact = static_cast<double>(x);
    cumulative = std::max(cumulative, std::abs(static_cast<double>(detail::normal_cumulative(x)[0]) -
                                               0.5 * std::erfc(-exact * detail::kInverseRoot2)));
    slope = std::max(
        slope, std::abs(static_cast<double>(detail::gelu_slope(x)[0]) - activate_derivative(Activation::gelu, exact)));
  }
  // A few roundings of numbers around 1. Where a multiply-add rounds twice, nearly twice as many; every processor of
  // that kind gives the same 2.13e-7 and 3.01e-7, as every other gives 1.68e-7 and 2.26e-7.
  const volatile float one_and = 1 + 0x1p-12f, its_square = 1 + 0x1p-11f;  // less 2^-24, which only one rounding keeps
  const bool rounds_once = fma(Vec(one_and), Vec(one_and), Vec(-its_square))[0] != 0;
  CHECK(cumulative <= (rounds_once ? 2e-7 : 2.2e-7));
  CHECK(slope <= (rounds_once ? 2.5e-7 : 3.1e-7));
  for (const float far : {5.7f, 40.0f, 1e30f}) {
    CHECK(activate<Activation::gelu>(far)[0] == far);
    CHECK(activate<Activation::gelu>(-far)[0] == 0.0f);
    CHECK(activate_derivative<Activation::gelu>(far)[0] == doctest::Approx(1).epsilon(2.5e-7));
    CHECK(std::abs(activate_derivative<Activation::gelu>(-far)[0]) <= 2.5e-7f);
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(activate<Activation::gelu>(nan)[0]));
  CHECK(std::isnan(activate_derivative<Activation::gelu>(nan)[0]));
}

TEST_CASE("activation: unknown kinds are errors") {
  CHECK_THROWS_WITH_AS(activation_of({{"activation", 4}}), "[activation] expected a kind from 0 to 3, got 4", Error);
  CHECK_THROWS_AS(activation_of({{"activation", -1}}), Error);
}

}  // namespace isoloss::test
