// gating and gating_backward: gradients and devices through the harness; indices, ties and NaN by hand.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/harness/op_case.h"

namespace isoloss::test {

namespace {

enum Output { kWeights, kExperts, kCounts, kOffsets, kPermutation, kInverse, kMeanProbability, kTokenFraction };

OpCase gating(std::int64_t tokens, std::int64_t experts, int top_k, bool sigmoid, bool normalise) {
  return {
      .name = fmt::format("gating {}x{} top {} sigmoid={} normalise={}", tokens, experts, top_k, sigmoid, normalise),
      .op = "gating",
      .attributes = {{"top_k", static_cast<double>(top_k)},
                     {"sigmoid", static_cast<double>(sigmoid)},
                     {"normalise", static_cast<double>(normalise)}},
      .inputs = {{"logits", f32({tokens, experts}), Fill::normal(0, 2)}},
      .constants = {"token_fraction"},
      .rejects = {{"logits", f32({tokens, 257})}, {"logits", f32({experts})}}};
}

LaunchResult run(const OpCase& test, DeviceKind device) {
  LaunchRequest request;
  request.device = device;
  const OpDef& op = find_op("gating");
  LaunchResult result = launch_op(op, test.attributes, test.state, operands_of(test, op), request);
  CHECK(result.faults.empty());
  return result;
}

std::vector<DeviceKind> devices() {
  std::vector<DeviceKind> all{DeviceKind::ref};
  if (has_cuda()) all.push_back(DeviceKind::cuda);
  return all;
}

}  // namespace

TEST_CASE("gating") {
  for (const bool sigmoid : {false, true}) {
    for (const bool normalise : {false, true}) {
      check_op(gating(9, 5, 2, sigmoid, normalise));
      check_op(gating(4, 37, 8, sigmoid, normalise));
      check_op(gating(3, 4, 4, sigmoid, normalise));   // every expert
      check_op(gating(70, 2, 1, sigmoid, normalise));  // more than one chunk
    }
    check_op(gating(3, 1, 1, sigmoid, false));
    check_op(gating(2, 256, 3, sigmoid, true));
  }
}

TEST_CASE("gating: top_k beyond the experts or the kernel is refused") {
  for (const int top_k : {0, 5, 9}) {
    const OpCase test = gating(3, top_k == 9 ? 20 : 4, top_k, false, false);
    const std::vector<TensorType> inputs{test.inputs[0].type};
    CHECK_THROWS_WITH(find_op("gating").infer({test.attributes, inputs, {}}),
                      doctest::Contains("expected top_k from 1"));
  }
}

TEST_CASE("gating: slots are sorted by expert and stable by token, and the inverse is the inverse") {
  for (const DeviceKind device : devices()) {
    const OpCase test = gating(600, 7, 3, false, true);  // ten chunks on cuda
    const LaunchResult result = run(test, device);
    const Values &experts = result.out[kExperts], &permutation = result.out[kPermutation];
    const auto chosen = [&](std::size_t slot) { return experts[static_cast<std::size_t>(permutation[slot])]; };
    std::vector<double> counts(7);
    for (std::size_t slot = 0; slot < permutation.size(); ++slot) {
      CHECK(result.out[kInverse][static_cast<std::size_t>(permutation[slot])] == static_cast<double>(slot));
      if (slot > 0) {
        CHECK(chosen(slot) >= chosen(slot - 1));
        if (chosen(slot) == chosen(slot - 1)) CHECK(permutation[slot] > permutation[slot - 1]);
      }
      counts[static_cast<std::size_t>(chosen(slot))] += 1;
    }
    double offset = 0;
    for (std::size_t e = 0; e < 7; ++e) {
      CHECK(result.out[kCounts][e] == counts[e]);
      CHECK(result.out[kOffsets][e] == offset);
      offset += counts[e];
    }
    CHECK(result.out[kOffsets][7] == 1800);
  }
}

TEST_CASE("gating: of equal logits the lower index, also when all tokens meet in one expert") {
  for (const DeviceKind device : devices()) {
    OpCase test = gating(2, 4, 2, false, true);
    test.inputs[0].fill = Fill::values({1, 3, 3, 3, 0, 0, 0, 0});
    LaunchResult result = run(test, device);
    CHECK(result.out[kExperts] == Values{1, 2, 0, 1});
    CHECK(result.out[kWeights] == Values{0.5, 0.5, 0.5, 0.5});
    CHECK(result.out[kCounts] == Values{1, 2, 1, 0});
    CHECK(result.out[kPermutation] == Values{2, 0, 3, 1});

    test = gating(130, 40, 1, true, false);
    Values logits(130 * 40, -1);
    for (std::size_t token = 0; token < 130; ++token) logits[token * 40 + 33] = 2;
    test.inputs[0].fill = Fill::values(logits);
    result = run(test, device);
    CHECK(result.out[kCounts][33] == 130);
    CHECK(result.out[kTokenFraction][33] == 1);
    for (std::size_t slot = 0; slot < 130; ++slot) CHECK(result.out[kPermutation][slot] == static_cast<double>(slot));
  }
}

TEST_CASE("gating: a NaN makes its token's weights NaN, its experts stay valid and other tokens are unharmed") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const DeviceKind device : devices()) {
    for (const bool sigmoid : {false, true}) {
      OpCase test = gating(3, 4, 2, sigmoid, false);
      test.inputs[0].fill = Fill::values({1, 2, 3, 4, 4, nan, 2, 1, nan, nan, nan, nan});
      const LaunchResult result = run(test, device);
      CHECK(result.out[kExperts] == Values{3, 2, 1, 0, 0, 1});
      for (std::size_t i = 0; i < 6; ++i) CHECK(std::isnan(result.out[kWeights][i]) == (i >= 2));
      for (std::size_t e = 0; e < 4; ++e) CHECK(std::isnan(result.out[kMeanProbability][e]));
    }
  }
}

}  // namespace isoloss::test
