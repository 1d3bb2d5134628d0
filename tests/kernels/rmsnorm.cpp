#include <doctest/doctest.h>

#include <cmath>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {
const Attributes kEpsilon = {{"epsilon", 1e-5}};
}

TEST_CASE("rmsnorm") {
  check_op({.name = "narrow",
            .op = "rmsnorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({5, 3})}, {"w", f32({3})}},
            .rejects = {{"w", f32({4})}, {"x", f32({3})}}});
  check_op({.name = "three dimensions",
            .op = "rmsnorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({2, 3, 70})}, {"w", f32({70})}}});
  check_op({.name = "more rows than chunks",
            .op = "rmsnorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({150, 200}), Fill::normal(0.5, 2)}, {"w", f32({200})}}});
}

TEST_CASE("add_rmsnorm") {
  check_op({.name = "small",
            .op = "add_rmsnorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({2, 5, 40})}, {"branch", f32({2, 5, 40})}, {"w", f32({40})}},
            .rejects = {{"branch", f32({2, 5, 41})}, {"w", f32({1})}},
            .through_bf16 = {"rstd"}});  // of the sum as it is stored
  check_op({.name = "several tasks",
            .op = "add_rmsnorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({150, 200})}, {"branch", f32({150, 200})}, {"w", f32({200})}},
            .through_bf16 = {"rstd"}});
}

TEST_CASE("add_rmsnorm is add, then rmsnorm") {
  const OpCase test{.name = "composition",
                    .op = "add_rmsnorm",
                    .attributes = kEpsilon,
                    .inputs = {{"x", f32({7, 50})}, {"branch", f32({7, 50})}, {"w", f32({50})}}};
  const std::vector<Operand> in = operands_of(test, find_op("add_rmsnorm"));
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    const LaunchRequest request{.device = device, .modes = {}, .in_place = std::vector<bool>(3), .previous = {}};
    const LaunchResult fused = launch_op(find_op("add_rmsnorm"), kEpsilon, test.state, in, request);
    const LaunchResult sum = launch_op(find_op("add"), {}, test.state, {in[0], in[1]}, request);
    const LaunchResult norm =
        launch_op(find_op("rmsnorm"), kEpsilon, test.state, {{in[0].type, sum.out[0]}, in[2]}, request);
    CHECK(same_bits(fused.out[0], sum.out[0]));
    for (const std::size_t o : {0u, 1u}) CHECK(same_bits(fused.out[o + 1], norm.out[o]));
  }
}

TEST_CASE("rmsnorm: a row of threes and fours") {
  const std::vector<Operand> in = {{f32({1, 2}), {3, 4}}, {f32({2}), {1, 2}}};
  const LaunchRequest request{
      .device = DeviceKind::ref, .real = DType::f64, .modes = {}, .in_place = {}, .previous = {}};
  const LaunchResult result = launch_op(find_op("rmsnorm"), {{"epsilon", 0}}, {}, in, request);
  const double root = std::sqrt(12.5);
  CHECK(result.out[0][0] == doctest::Approx(3 / root).epsilon(1e-14));
  CHECK(result.out[0][1] == doctest::Approx(8 / root).epsilon(1e-14));
}

}  // namespace isoloss::test
