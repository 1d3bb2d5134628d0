#include "kernels/ops/softcap/softcap.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/base/error.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("softcap") {
  for (const double cap : {0.5, 30.0}) {
    CAPTURE(cap);
    check_op({.name = "one row",
              .op = "softcap",
              .attributes = {{"cap", cap}},
              .inputs = {{"x", f32({3, 7}), Fill::normal(0, 2)}}});
    check_op({.name = "several tasks",
              .op = "softcap",
              .attributes = {{"cap", cap}},
              .inputs = {{"x", f32({3, 10007}), Fill::normal(0, 40)}}});
  }
}

TEST_CASE("softcap: known values, and a cap that is none") {
  CHECK(softcap(3.0, 2.0) == doctest::Approx(2 * 0.9051482536448664).epsilon(1e-15));  // tanh 1.5 in 16 digits
  CHECK(softcap_slope(softcap(3.0, 2.0), 2.0) == doctest::Approx(0.1807066389236486).epsilon(1e-14));  // 1 / cosh² 1.5
  for (const double cap : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    const std::vector<Operand> in = {{f32({2}), {1, 2}}};
    CHECK_THROWS_AS(launch_op(find_op("softcap"), {{"cap", cap}}, {}, in, {}), Error);
  }
}

}  // namespace isoloss::test
