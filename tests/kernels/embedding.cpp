#include <doctest/doctest.h>

#include <cmath>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {
constexpr StepState kLater{.seed = 7, .step = 3, .micro_batch = 0, .position = 4, .learning_rate = 0};
}

TEST_CASE("embedding") {
  const CaseInput ids{"ids", i32({2, 5}), Fill::integers(0, 7)}, token{"token", f32({11, 20})};
  check_op({.name = "tokens only",
            .op = "embedding",
            .inputs = {ids, token},
            .rejects = {{"ids", i32({10})}, {"ids", f32({2, 5})}, {"token", f32({220})}}});
  check_op({.name = "learned positions",
            .op = "embedding",
            .inputs = {ids, token, {"position", f32({9, 20})}},
            .rejects = {{"position", f32({4, 20})}, {"position", f32({9, 21})}}});
  check_op({.name = "later positions",
            .op = "embedding",
            .inputs = {ids, token, {"position", f32({9, 20})}},
            .state = kLater});
  check_op({.name = "sinusoidal",
            .op = "embedding",
            .attributes = {{"sinusoidal", 1}},
            .inputs = {ids, token},
            .state = kLater});
  // Every token several times, over several column bands.
  check_op({.name = "many repeats",
            .op = "embedding",
            .inputs = {
                {"ids", i32({3, 40}), Fill::integers(0, 5)}, {"token", f32({6, 300})}, {"position", f32({40, 300})}}});
  // Ids of two digits, more tokens than are sorted by one block, and runs of one id over several pieces of 32.
  Values hot(700, 259);
  for (std::size_t i = 0; i < hot.size(); i += 5) hot[i] = static_cast<double>(i % 270);
  check_op(
      {.name = "hot token",
       .op = "embedding",
       .inputs = {{"ids", i32({2, 350}), Fill::values(hot)}, {"token", f32({270, 8})}, {"position", f32({350, 8})}}});
  check_op({.name = "one token",
            .op = "embedding",
            .inputs = {{"ids", i32({1, 96}), Fill::values(Values(96, 2))}, {"token", f32({3, 5})}}});
  check_op({.name = "odd width",
            .op = "embedding",
            .attributes = {{"sinusoidal", 1}},
            .inputs = {{"ids", i32({3, 4}), Fill::integers(0, 5)}, {"token", f32({6, 7})}}});
}

// 2^27 - 2^27 + 1 is 1 in this order alone. The ids between differ from theirs in the second digit of a sort: without
// it the row would get 2^27, and then what -2^27 and 1 come to.
TEST_CASE("embedding_backward: a row sums its hits in the order of the batch") {
  const std::vector<Operand> in = {{i32({1, 5}), {3, 259, 3, 3, 515}},
                                   {f32({1, 5, 1}), {0x1p27, 8, -0x1p27, 1, 4}},
                                   {f32({516, 1}), Values(516)},
                                   {}};
  for (const DeviceKind device : {DeviceKind::ref, has_cuda() ? DeviceKind::cuda : DeviceKind::cpu}) {
    LaunchRequest request;
    request.device = device;
    const LaunchResult result = launch_op(find_op("embedding_backward"), {}, {}, in, request);
    CHECK(result.out[0][3] == 1);
    CHECK(result.out[0][259] == 8);
    CHECK(result.out[0][515] == 4);
  }
}

TEST_CASE("embedding: the sinusoidal table") {
  const std::vector<Operand> in = {{i32({1, 3}), {0, 0, 0}}, {f32({1, 4}), {0, 0, 0, 0}}, {}};
  const LaunchRequest request{
      .device = DeviceKind::ref, .real = DType::f64, .modes = {}, .in_place = {}, .previous = {}};
  const LaunchResult result = launch_op(find_op("embedding"), {{"sinusoidal", 1}}, {}, in, request);
  for (int position = 0; position < 3; ++position) {
    const double expected[4] = {std::sin(position), std::cos(position), std::sin(position / 100.0),
                                std::cos(position / 100.0)};
    for (int c = 0; c < 4; ++c)
      CHECK(result.out[0][static_cast<std::size_t>(position * 4 + c)] == doctest::Approx(expected[c]).epsilon(1e-13));
  }
}

TEST_CASE("embedding: learned and sinusoidal positions exclude each other") {
  OpCase test{
      .name = "both",
      .op = "embedding",
      .attributes = {{"sinusoidal", 1}},
      .inputs = {{"ids", i32({1, 2}), Fill::integers(0, 3)}, {"token", f32({3, 4})}, {"position", f32({2, 4})}}};
  const auto failures = failures_of(test, find_op("embedding"), &find_op("embedding_backward"));
  REQUIRE(failures.size() == 1);
  CHECK(failures[0] ==
        "unexpected exception: [embedding] expected a learned or a sinusoidal position embedding, got both");
}

}  // namespace isoloss::test
