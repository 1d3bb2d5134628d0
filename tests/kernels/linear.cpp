// linear and linear_backward: every layout, activation and optional operand, shapes that are no multiple of any block.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("linear: layouts, activations, bias") {
  for (const double transposed : {0.0, 1.0}) {
    for (int activation = 0; activation < 4; ++activation) {
      for (const bool bias : {false, true}) {
        const Shape w = transposed != 0 ? Shape{37, 19} : Shape{19, 37};
        OpCase test{.name = fmt::format("linear transposed={} activation={} bias={}", transposed, activation, bias),
                    .op = "linear",
                    .attributes = {{"transposed", transposed}, {"activation", static_cast<double>(activation)}},
                    .inputs = {{"x", f32({3, 15, 19})}, {"w", f32(w), Fill::normal(0, 0.2)}}};
        if (bias) test.inputs.push_back({"bias", f32({37})});
        test.rejects = {{"x", f32({3, 15, 18})}, {"w", f32({20, 38})}, {"w", f32({19})}};
        if (bias) test.rejects.emplace_back("bias", f32({19}));
        // The slope of ReLU² has a kink at 0; where a difference steps over it, it errs by about h = 2^-10.
        if (activation == 3) test.gradient_error = 0x1p-10;
        test.library_decides = activation == 2;
        if (activation != 0) test.through_bf16 = {"dw", "dbias"};  // dpre is stored
        check_op(test);
      }
    }
  }
}

TEST_CASE("linear: one element, one row, one column") {
  for (const Shape x : {Shape{1, 1}, Shape{1, 70}, Shape{70, 1}}) {
    for (const std::int64_t outputs : {1, 33}) {
      check_op({.name = fmt::format("linear {} to {}", x.text(), outputs),
                .op = "linear",
                .inputs = {{"x", f32(x)}, {"w", f32({x[-1], outputs})}, {"bias", f32({outputs})}}});
    }
  }
}

TEST_CASE("linear: more rows than a piece of the bias gradient, rows of whole and of broken packs") {
  for (const std::int64_t outputs : {8, 264, 33}) {
    for (const double transposed : {0.0, 1.0}) {
      check_op({.name = fmt::format("linear pieces to {} transposed={}", outputs, transposed),
                .op = "linear",
                .attributes = {{"activation", 2}, {"transposed", transposed}},
                .inputs = {{"x", f32({75, 6})},
                           {"w", f32(transposed != 0 ? Shape{outputs, 6} : Shape{6, outputs}), Fill::normal(0, 0.4)},
                           {"bias", f32({outputs})}},
                .library_decides = true,
                .through_bf16 = {"dw", "dbias"}});
    }
  }
}

TEST_CASE("linear: rows of whole registers, where pre goes past the caches") {
  check_op({.name = "linear streamed",
            .op = "linear",
            .attributes = {{"activation", 1}},
            .inputs = {{"x", f32({80, 20})}, {"w", f32({20, 112}), Fill::normal(0, 0.3)}, {"bias", f32({112})}},
            .through_bf16 = {"dw", "dbias"}});
}

TEST_CASE("linear: more than one depth block and task") {
  check_op({.name = "linear deep",
            .op = "linear",
            .attributes = {{"activation", 1}},
            .inputs = {{"x", f32({80, 600})}, {"w", f32({600, 70}), Fill::normal(0, 0.05)}, {"bias", f32({70})}},
            .through_bf16 = {"dw", "dbias"}});
}

}  // namespace isoloss::test
