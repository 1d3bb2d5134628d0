#include <doctest/doctest.h>

#include <cmath>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {
const Attributes kEpsilon = {{"epsilon", 1e-5}};
}

TEST_CASE("layernorm") {
  for (const bool bias : {false, true}) {
    CAPTURE(bias);
    const TensorType b3 = bias ? f32({3}) : TensorType{}, b70 = bias ? f32({70}) : TensorType{},
                     b200 = bias ? f32({200}) : TensorType{};
    check_op({.name = "narrow",
              .op = "layernorm",
              .attributes = kEpsilon,
              .inputs = {{"x", f32({5, 3})}, {"w", f32({3})}, {"b", b3}},
              .rejects = {{"w", f32({4})}, {"b", f32({4})}, {"x", f32({3})}}});
    check_op({.name = "three dimensions",
              .op = "layernorm",
              .attributes = kEpsilon,
              .inputs = {{"x", f32({2, 3, 70})}, {"w", f32({70})}, {"b", b70}}});
    check_op({.name = "more rows than chunks",
              .op = "layernorm",
              .attributes = kEpsilon,
              .inputs = {{"x", f32({150, 200}), Fill::normal(0.5, 2)}, {"w", f32({200})}, {"b", b200}}});
  }
  check_op({.name = "rows over several warps",
            .op = "layernorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({3, 1032})}, {"w", f32({1032})}, {"b", f32({1032})}}});
  // A mean far above the deviation: a variance as E[x²] - mean² would lose all digits.
  check_op({.name = "far from zero",
            .op = "layernorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({9, 64}), Fill::normal(300, 1)}, {"w", f32({64})}, {"b", f32({64})}},
            .reference_error = 1e-3});
}

TEST_CASE("add_layernorm") {
  check_op({.name = "bias",
            .op = "add_layernorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({2, 5, 40})}, {"branch", f32({2, 5, 40})}, {"w", f32({40})}, {"b", f32({40})}},
            .rejects = {{"branch", f32({2, 5, 41})}, {"w", f32({1})}, {"b", f32({2, 20})}},
            .through_bf16 = {"mean", "rstd"}});  // of the sum as it is stored
  check_op({.name = "no bias, several tasks",
            .op = "add_layernorm",
            .attributes = kEpsilon,
            .inputs = {{"x", f32({150, 200})}, {"branch", f32({150, 200})}, {"w", f32({200})}},
            .through_bf16 = {"mean", "rstd"}});
}

// On cuda a warp holds a row of up to 384 floats (768 bf16) and eight rows share a block, longer rows take several
// warps and fewer rows; 528 blocks take the rows of a backward pass in turn.
TEST_CASE("layernorm: short and long rows, more rows than blocks take at once") {
  struct Size {
    std::int64_t rows, width;
  };
  for (const Size& size :
       {Size{4300, 8}, Size{13, 768}, Size{6, 1600}, Size{3, 3072}, Size{3, 2050}, Size{540, 1544}}) {
    CAPTURE(size.width);
    const TensorType row = f32({size.width}), column = f32({size.rows}), x = f32({size.rows, size.width});
    check_large({.name = "forward",
                 .op = "layernorm",
                 .attributes = kEpsilon,
                 .inputs = {{"x", x, Fill::normal(1, 2)}, {"w", row}, {"b", row}}});
    check_large({.name = "backward",
                 .op = "layernorm_backward",
                 .inputs = {{"x", x},
                            {"w", row},
                            {"mean", column, Fill::normal(0, 0.1), DType::f32},
                            {"rstd", column, Fill::uniform(0.9, 1.1), DType::f32},
                            {"dy", x},
                            {"b", row}}});
  }
}

TEST_CASE("add_layernorm is add, then layernorm") {
  const OpCase test{.name = "composition",
                    .op = "add_layernorm",
                    .attributes = kEpsilon,
                    .inputs = {{"x", f32({7, 50})}, {"branch", f32({7, 50})}, {"w", f32({50})}, {"b", f32({50})}}};
  const std::vector<Operand> in = operands_of(test, find_op("add_layernorm"));
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    const LaunchRequest request{.device = device, .modes = {}, .in_place = std::vector<bool>(4), .previous = {}};
    const LaunchResult fused = launch_op(find_op("add_layernorm"), kEpsilon, test.state, in, request);
    const LaunchResult sum = launch_op(find_op("add"), {}, test.state, {in[0], in[1]}, request);
    const LaunchResult norm =
        launch_op(find_op("layernorm"), kEpsilon, test.state, {{in[0].type, sum.out[0]}, in[2], in[3]}, request);
    CHECK(same_bits(fused.out[0], sum.out[0]));
    for (const std::size_t o : {0u, 1u, 2u}) CHECK(same_bits(fused.out[o + 1], norm.out[o]));
  }
}

TEST_CASE("layernorm: rows come out with mean 0 and variance 1") {
  const OpCase test{
      .name = "standard",
      .op = "layernorm",
      .attributes = {{"epsilon", 0}},
      .inputs = {{"x", f32({3, 100}), Fill::normal(5, 3)}, {"w", f32({100}), Fill::values(Values(100, 1.0))}}};
  const LaunchRequest request{
      .device = DeviceKind::ref, .real = DType::f64, .modes = {}, .in_place = {}, .previous = {}};
  const LaunchResult result =
      launch_op(find_op("layernorm"), test.attributes, test.state, operands_of(test, find_op("layernorm")), request);
  for (std::size_t row = 0; row < 3; ++row) {
    double mean = 0, square = 0;
    for (std::size_t c = 0; c < 100; ++c)
      mean += result.out[0][row * 100 + c] / 100,
          square += result.out[0][row * 100 + c] * result.out[0][row * 100 + c] / 100;
    CHECK(std::abs(mean) < 1e-13);  // a hundred roundings of numbers of size 1 in double
    CHECK(std::abs(square - 1) < 1e-13);
  }
}

}  // namespace isoloss::test
