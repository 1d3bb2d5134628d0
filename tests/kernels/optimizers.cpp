#include <doctest/doctest.h>

#include <cmath>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

OpCase adamw_case(std::string name, std::int64_t count, double decay_count) {
  return {.name = std::move(name),
          .op = "adamw",
          .attributes =
              {{"beta1", 0.9}, {"beta2", 0.95}, {"epsilon", 1e-8}, {"weight_decay", 0.1}, {"decay_count", decay_count}},
          .inputs = {{"parameter", f32({count})},
                     {"gradient", f32({count})},
                     {"m", f32({count})},
                     {"v", f32({count}), Fill::uniform(0.01, 2)},
                     {"factor", f32({1}), Fill::values({0.7})}},
          .updated = {"parameter", "m", "v"},
          .rejects = {{"gradient", f32({count + 1})},
                      {"m", f32({count + 1})},
                      {"v", f32({1, count})},
                      {"factor", f32({2})}},
          .narrow = false};
}

OpCase sgd_case(std::string name, std::int64_t count, double decay_count) {
  return {.name = std::move(name),
          .op = "sgd",
          .attributes = {{"beta1", 0.9}, {"weight_decay", 0.1}, {"decay_count", decay_count}},
          .inputs = {{"parameter", f32({count})},
                     {"gradient", f32({count})},
                     {"m", f32({count})},
                     {"factor", f32({1}), Fill::values({0.7})}},
          .updated = {"parameter", "m"},
          .rejects = {{"gradient", f32({count + 1})}, {"m", f32({count + 1})}, {"factor", f32({2})}},
          .narrow = false};
}

LaunchResult step(const std::string& op, const Attributes& attributes, const StepState& state,
                  const std::vector<Operand>& in) {
  const std::size_t outputs = find_op(op).outputs.size();
  return launch_op(find_op(op), attributes, state, in,
                   {.device = DeviceKind::ref,
                    .real = DType::f64,
                    .modes = {},
                    .in_place = std::vector<bool>(outputs, true),
                    .previous = {}});
}

}  // namespace

TEST_CASE("adamw") {
  check_op(adamw_case("none decays", 5, 0));
  check_op(adamw_case("the first decay, within a register", 37, 21));
  check_op(adamw_case("several tasks", 40003, 20001));
  check_op(adamw_case("all decay", 100, 100));
}

TEST_CASE("sgd") {
  check_op(sgd_case("none decays", 5, 0));
  check_op(sgd_case("the first decay, within a register", 37, 21));
  check_op(sgd_case("several tasks", 40003, 20001));
}

TEST_CASE("sgd without momentum needs no m, and is the step along the gradient") {
  OpCase test = sgd_case("no momentum", 40003, 20001);
  test.attributes.set("beta1", 0);
  std::erase_if(test.inputs, [](const CaseInput& input) { return input.port == "m"; });
  check_op(test);
  test.attributes.set("beta1", 0.9);
  const auto failures = failures_of(test, find_op("sgd"), nullptr);
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].find("[sgd] expected m f64[40003], got") != std::string::npos);

  StepState state;
  state.learning_rate = 0.5;
  const Attributes attributes = {{"beta1", 0}, {"weight_decay", 0}, {"decay_count", 0}};
  const LaunchResult result =
      step("sgd", attributes, state, {{f32({1}), {10}}, {f32({1}), {4}}, {}, {f32({1}), {0.5}}});
  CHECK(result.out[0][0] == 9);
}

TEST_CASE("optimizers: decay_count beyond the parameters is an error") {
  for (const OpCase& test : {adamw_case("too many", 5, 6), sgd_case("too many", 5, 6), adamw_case("negative", 5, -1)}) {
    const auto failures = failures_of(test, find_op(test.op), nullptr);
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].find("expected decay_count from 0 to 5, got") != std::string::npos);
  }
}

TEST_CASE("adamw: the first step goes by the learning rate against the sign of the gradient") {
  StepState state;
  state.learning_rate = 0.25;
  state.bias_correction1 = 1 - 0.9, state.bias_correction2 = 1 - 0.99;
  const std::vector<Operand> in = {
      {f32({3}), {1, 1, 1}}, {f32({3}), {0.5, -2, 8}}, {f32({3}), {0, 0, 0}}, {f32({3}), {0, 0, 0}}, {f32({1}), {1}}};
  const Attributes attributes = {
      {"beta1", 0.9}, {"beta2", 0.99}, {"epsilon", 0}, {"weight_decay", 0.5}, {"decay_count", 1}};
  const LaunchResult result = step("adamw", attributes, state, in);
  CHECK(result.out[0][0] == doctest::Approx(1 - 0.25 * 0.5 - 0.25).epsilon(1e-14));  // decays first, then steps
  CHECK(result.out[0][1] == doctest::Approx(1.25).epsilon(1e-14));
  CHECK(result.out[0][2] == doctest::Approx(0.75).epsilon(1e-14));
}

TEST_CASE("sgd: two steps by hand") {
  StepState state;
  state.learning_rate = 0.5;
  const Attributes attributes = {{"beta1", 0.5}, {"weight_decay", 0}, {"decay_count", 0}};
  std::vector<Operand> in = {{f32({1}), {10}}, {f32({1}), {4}}, {f32({1}), {0}}, {f32({1}), {0.5}}};
  for (const double expected : {9.0, 7.5}) {  // m = 2, then 0.5 · 2 + 2 = 3
    const LaunchResult result = step("sgd", attributes, state, in);
    CHECK(result.out[0][0] == expected);
    in[0].values = result.out[0], in[2].values = result.out[1];
  }
}

}  // namespace isoloss::test
