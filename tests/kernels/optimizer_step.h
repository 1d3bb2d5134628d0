// What the cases of the optimizers' operations share.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/harness/op_case.h"

namespace isoloss::test {

/// One update in double by the specification, in place.
inline LaunchResult step(const std::string& op, const Attributes& attributes, const StepState& state,
                         const std::vector<Operand>& in) {
  const std::size_t outputs = find_op(op).outputs.size();
  return launch_op(find_op(op), attributes, state, in,
                   {.device = DeviceKind::ref,
                    .real = DType::f64,
                    .modes = {},
                    .in_place = std::vector<bool>(outputs, true),
                    .previous = {}});
}

/// The case, of 5 parameters, has a decay_count that they do not allow.
inline void expect_decay_count_refused(const OpCase& test) {
  const auto failures = failures_of(test, find_op(test.op), nullptr);
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].find("expected decay_count from 0 to 5, got") != std::string::npos);
}

}  // namespace isoloss::test
