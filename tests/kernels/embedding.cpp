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
  check_op({.name = "more tokens than a block looks at at once",
            .op = "embedding",
            .inputs = {{"ids", i32({2, 150}), Fill::integers(0, 5)}, {"token", f32({6, 8})}}});
  check_op({.name = "odd width",
            .op = "embedding",
            .attributes = {{"sinusoidal", 1}},
            .inputs = {{"ids", i32({3, 4}), Fill::integers(0, 5)}, {"token", f32({6, 7})}}});
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
