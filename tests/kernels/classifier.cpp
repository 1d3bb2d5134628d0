// The fused loss head, and the unfused composition that is its oracle.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/harness/op_case.h"

namespace isoloss::test {

namespace {

OpCase classifier(std::string name, Shape x, std::int64_t padded, std::int64_t vocab, double scale) {
  const auto v = static_cast<double>(vocab);
  return {.name = std::move(name),
          .op = "classifier",
          .attributes = {{"vocab", v}, {"scale", scale}},
          .inputs = {{"x", f32(x)},
                     {"w", f32({padded, x[-1]}), Fill::normal(0, 0.5)},
                     {"targets", i32(x.without_last()), Fill::integers(0, v)}},
          .rejects = {{"w", f32({padded, x[-1] + 1})},
                      {"w", f32({vocab - 1, x[-1]})},
                      {"targets", i32({x[0], x[1] + 1})},
                      {"targets", f32(x.without_last())}},
          .through_bf16 = {"losses", "loss", "dw"}};  // logits and their gradients are stored
}

}  // namespace

TEST_CASE("classifier") {
  check_op(classifier("padded vocabulary", {2, 9, 21}, 80, 65, 1));
  check_op(classifier("exact vocabulary, scaled gradient", {3, 5, 33}, 64, 64, 0.25));
  check_op(classifier("two classes", {1, 7, 5}, 2, 2, 1));
  OpCase chunks = classifier("three chunks of rows", {2, 150, 4}, 24, 17, 1);  // on cuda
  chunks.attributes.set("logits_bytes", 1);
  check_op(chunks);
}

TEST_CASE("classifier: capped logits") {
  for (const double cap : {1.5, 30.0}) {
    CAPTURE(cap);
    OpCase whole = classifier("padded vocabulary", {2, 9, 21}, 80, 65, 0.5),
           chunks = classifier("chunks", {2, 150, 4}, 24, 17, 1);
    whole.attributes.set("softcap", cap);
    chunks.attributes.set("softcap", cap);
    chunks.attributes.set("logits_bytes", 1);
    check_op(whole);
    check_op(chunks);
  }
}

TEST_CASE("classifier: capping inside is the product, softcap, then cross_entropy") {
  OpCase test = classifier("composition", {2, 40, 30}, 80, 67, 1);
  const std::vector<Operand> in = operands_of(test, find_op("classifier"));
  const Attributes cap = {{"cap", 2.0}}, vocab = {{"vocab", 67}};
  test.attributes.set("softcap", 2.0);
  LaunchRequest request;
  request.device = DeviceKind::ref;
  request.real = DType::f64;
  const LaunchResult fused = launch_op(find_op("classifier"), test.attributes, {}, in, request);
  const LaunchResult logits =
      launch_op(find_op("linear"), {{"activation", 0}, {"transposed", 1}}, {}, {in[0], in[1], {}}, request);
  const Operand stored{f32({2, 40, 80}), logits.out[0]};
  const LaunchResult capped = launch_op(find_op("softcap"), cap, {}, {stored}, request);
  const LaunchResult loss =
      launch_op(find_op("cross_entropy"), vocab, {}, {{stored.type, capped.out[0]}, in[2]}, request);
  for (std::size_t row = 0; row < loss.out[0].size(); ++row) {
    CHECK(fused.out[0][row] == doctest::Approx(loss.out[0][row]).epsilon(1e-13));
  }
  CHECK(fused.out[1][0] !=
        doctest::Approx(launch_op(find_op("classifier"), vocab, {}, in, request).out[1][0]).epsilon(1e-3));
}

TEST_CASE("classifier: more rows than the logits of one chunk") {
  const OpCase test = classifier("chunks", {2, 300, 2}, 17000, 16777, 1);
  const OpDef& op = find_op("classifier_gradient");
  const std::vector<Operand> inputs = operands_of(test, op);
  const auto launch = [&](DeviceKind device, DType real) {
    LaunchRequest request;
    request.device = device;
    request.real = real;
    request.threads = 2;
    return launch_op(op, test.attributes, test.state, inputs, request);
  };
  const LaunchResult exact = launch(DeviceKind::ref, DType::f64), plain = launch(DeviceKind::ref, DType::f32);
  const LaunchResult fast = launch(DeviceKind::cpu, DType::f32);
  CHECK(fast.faults.empty());
  for (std::size_t o = 0; o < exact.out.size(); ++o) {
    double allowed = 0, error = 0, largest = 0;
    for (std::size_t i = 0; i < exact.out[o].size(); ++i) {
      allowed = std::max(allowed, std::abs(plain.out[o][i] - exact.out[o][i]));
      error = std::max(error, std::abs(fast.out[o][i] - exact.out[o][i]));
      largest = std::max(largest, std::abs(exact.out[o][i]));
    }
    CAPTURE(op.outputs[o].name);
    CHECK(error <= test.error_multiple * allowed + 0x1p-23 * largest);  // the harness's policy
  }
}

TEST_CASE("classifier: a target beyond the vocabulary makes its loss NaN and harms nobody else") {
  OpCase test = classifier("targets", {1, 3, 4}, 20, 18, 1);
  test.inputs[2].fill = Fill::values({17, 18, -1});
  const OpDef& op = find_op("classifier_gradient");
  for (const DeviceKind device : {DeviceKind::ref, has_cuda() ? DeviceKind::cuda : DeviceKind::cpu}) {
    LaunchRequest request;
    request.device = device;
    const LaunchResult result = launch_op(op, test.attributes, test.state, operands_of(test, op), request);
    CHECK(result.faults.empty());
    CHECK(std::isfinite(result.out[0][0]));
    CHECK(std::isnan(result.out[0][1]));
    CHECK(std::isnan(result.out[0][2]));
    CHECK(std::isnan(result.out[1][0]));
  }
}

TEST_CASE("cross_entropy_backward: padding columns are zero, whatever the row") {
  OpCase test{.name = "padding",
              .op = "cross_entropy_backward",
              .attributes = {{"vocab", 18}},
              .inputs = {{"logits", f32({1, 3, 20})}, {"targets", i32({1, 3}), Fill::values({18, 19, 2})}}};
  Values logits(60, 0.5);
  logits[45] = std::nan("");
  test.inputs[0].fill = Fill::values(logits);
  const OpDef& op = find_op(test.op);
  for (const DeviceKind device : {DeviceKind::ref, has_cuda() ? DeviceKind::cuda : DeviceKind::cpu}) {
    LaunchRequest request;
    request.device = device;
    const LaunchResult result = launch_op(op, test.attributes, test.state, operands_of(test, op), request);
    for (const std::size_t at : {18, 19, 38, 39, 58, 59}) CHECK(result.out[0][at] == 0);
    CHECK(std::isnan(result.out[0][40]));
  }
}

// Rows of 48 logits are worked on by one warp, longer ones by up to 16; 28,800 floats or 57,600 bf16 do not fit the
// shared memory that cuda gives them.
TEST_CASE("cross_entropy: long rows") {
  for (const std::int64_t width : {48, 9000, 28800, 57600}) {
    for (const char* const op : {"cross_entropy", "cross_entropy_backward"}) {
      check_large({.name = fmt::format("{} columns", width),
                   .op = op,
                   .attributes = {{"vocab", static_cast<double>(width - 7)}},
                   .inputs = {{"logits", f32({1, 2, width}), Fill::normal(0, 3)},
                              {"targets", i32({1, 2}), Fill::integers(0, static_cast<double>(width - 7))}}});
    }
  }
}

TEST_CASE("cross_entropy: logits of minus infinity have no probability") {
  Values logits(80, 0.25);
  for (std::size_t v = 0; v < 70; ++v) logits[v] = -std::numeric_limits<double>::infinity();
  const OpCase test{
      .name = "minus infinity",
      .op = "cross_entropy_backward",
      .attributes = {{"vocab", 80}},
      .inputs = {{"logits", f32({1, 1, 80}), Fill::values(logits)}, {"targets", i32({1, 1}), Fill::values({75})}}};
  check_large(test);
}

TEST_CASE("cross_entropy: capped logits") {
  for (const std::int64_t width : {48, 9000}) {
    const double vocab = static_cast<double>(width - 7);
    check_op({.name = fmt::format("{} columns", width),
              .op = "cross_entropy",
              .attributes = {{"vocab", vocab}, {"softcap", 5.0}},
              .inputs = {{"logits", f32({1, 2, width}), Fill::normal(0, 4)},
                         {"targets", i32({1, 2}), Fill::integers(0, vocab)}}});
  }
}

TEST_CASE("cross_entropy") {
  for (const std::int64_t vocab : {2, 16, 67, 80}) {
    check_op({.name = fmt::format("cross_entropy {}", vocab),
              .op = "cross_entropy",
              .attributes = {{"vocab", static_cast<double>(vocab)}, {"scale", 0.5}},
              .inputs = {{"logits", f32({2, 6, 80}), Fill::normal(0, 3)},
                         {"targets", i32({2, 6}), Fill::integers(0, static_cast<double>(vocab))}},
              .rejects = {{"logits", f32({2, 6, 1})}, {"targets", i32({6, 2})}}});
  }
}

}  // namespace isoloss::test
