#include <doctest/doctest.h>

#include <utility>

#include "tests/harness/op_case.h"
#include "tests/kernels/optimizer_step.h"

namespace isoloss::test {
namespace {

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

}  // namespace

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

TEST_CASE("sgd: decay_count beyond the parameters is an error") {
  expect_decay_count_refused(sgd_case("too many", 5, 6));
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
