#include <doctest/doctest.h>

#include <utility>

#include "tests/harness/op_case.h"
#include "tests/kernels/optimizer_step.h"

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

}  // namespace

TEST_CASE("adamw") {
  check_op(adamw_case("none decays", 5, 0));
  check_op(adamw_case("the first decay, within a register", 37, 21));
  check_op(adamw_case("several tasks", 40003, 20001));
  check_op(adamw_case("all decay", 100, 100));
}

TEST_CASE("adamw: decay_count beyond the parameters is an error") {
  expect_decay_count_refused(adamw_case("too many", 5, 6));
  expect_decay_count_refused(adamw_case("negative", 5, -1));
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

}  // namespace isoloss::test
