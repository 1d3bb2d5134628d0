#include "kernels/activation/activation.h"

#include <doctest/doctest.h>

#include "kernels/core/error.h"
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

TEST_CASE("activation: unknown kinds are errors") {
  CHECK_THROWS_WITH_AS(activation_of({{"activation", 4}}), "[activation] expected a kind from 0 to 3, got 4", Error);
  CHECK_THROWS_AS(activation_of({{"activation", -1}}), Error);
}

}  // namespace isoloss::test
