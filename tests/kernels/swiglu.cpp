#include <doctest/doctest.h>

#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("swiglu") {
  check_op({.name = "small",
            .op = "swiglu",
            .inputs = {{"gate", f32({2, 3, 5})}, {"up", f32({2, 3, 5})}},
            .rejects = {{"up", f32({2, 3, 6})}, {"up", f32({30})}}});
  check_op({.name = "several tasks",
            .op = "swiglu",
            .inputs = {{"gate", f32({30011}), Fill::normal(0, 3)}, {"up", f32({30011})}}});
  // The sigmoid saturates; exp of 100 is beyond float, and must not leave a NaN.
  check_op({.name = "far out",
            .op = "swiglu",
            .inputs = {{"gate", f32({1000}), Fill::uniform(-100, 100)}, {"up", f32({1000})}}});
}

}  // namespace isoloss::test
