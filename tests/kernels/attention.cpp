#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/base/error.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

struct Sizes {
  std::int64_t B, T;
  int heads, kv_heads;
  std::int64_t D;
  int window = 0;
  double p = 0;
};

Attributes attributes_of(const Sizes& sizes) {
  return {
      {"heads", sizes.heads}, {"kv_heads", sizes.kv_heads}, {"window", sizes.window}, {"p", sizes.p}, {"node", 4242}};
}

/// Of attention_cached, which drops nothing.
Attributes cached_attributes_of(const Sizes& sizes) {
  return {{"heads", sizes.heads}, {"kv_heads", sizes.kv_heads}, {"window", sizes.window}};
}

OpCase attention_case(const char* op, const char* name, const Sizes& sizes) {
  const std::int64_t lanes = sizes.heads + 2 * sizes.kv_heads;
  OpCase test;
  test.name = name;
  test.op = op;
  test.attributes = attributes_of(sizes);
  test.inputs = {{"qkv", f32({sizes.B, sizes.T, lanes * sizes.D})}};
  test.rejects = {{"qkv", f32({sizes.B, sizes.T, lanes * sizes.D + 1})}, {"qkv", f32({sizes.T, lanes * sizes.D})}};
  return test;
}

// The shapes reach every branch of the cpu versions: widths below, at and beyond a vector and no multiple of one,
// lengths around a tile and over several, windows inside a tile and across tiles, shared key heads.
struct Named {
  const char* name;
  Sizes sizes;
};
const Named kCases[] = {
    {"tiny", {1, 3, 1, 1, 2}},
    {"one token", {2, 1, 2, 1, 4}},
    {"two heads", {2, 9, 2, 2, 5}},
    {"one tile", {1, 64, 1, 1, 16}},
    {"a tile and one", {1, 65, 2, 1, 24}},
    {"several tiles", {1, 200, 1, 1, 33}},
    {"wide heads", {1, 70, 1, 1, 130}},
    {"heads of 96", {1, 40, 1, 1, 96}},
    {"heads of 128 in groups", {1, 66, 4, 2, 128, 0, 0.2}},
    {"grouped queries", {2, 20, 4, 2, 8}},
    {"three queries to each of two key heads", {1, 20, 6, 2, 8}},
    {"two queries to each of three key heads", {1, 20, 6, 3, 8, 0, 0.2}},
    {"multi-query", {1, 75, 3, 1, 32}},
    {"window of one", {1, 12, 1, 1, 4, 1}},
    {"window inside a tile", {2, 40, 2, 2, 8, 7}},
    {"window across tiles", {1, 220, 1, 1, 16, 90}},
    {"window that reaches one query of the next tile but one", {1, 150, 1, 1, 8, 66}},
    {"window that ends with a tile", {1, 150, 1, 1, 8, 65}},
    {"window longer than the text", {1, 30, 2, 1, 8, 99}},
    {"dropout", {2, 21, 2, 1, 8, 0, 0.3}},
    {"dropout over tiles and window", {1, 150, 2, 2, 16, 70, 0.2}},
};

// What the kernels on tensor cores (bf16 on cuda) see besides: every compiled width and widths that are padded to them,
// several of their tiles in both directions, lengths that are no multiple of 4 (where dropout draws pair by pair) and
// ones that are, windows whose edges cross their tiles.
const Named kWideCases[] = {
    {"width 64, three tiles of queries", {1, 300, 1, 1, 64}},
    {"width 64, few tokens", {3, 5, 2, 2, 64}},
    {"width 64, grouped queries, window", {2, 140, 4, 2, 64, 50}},
    {"width 64, window of one", {1, 140, 1, 1, 64, 1}},
    {"width 64, dropout", {1, 132, 2, 2, 64, 0, 0.2}},
    {"width 32, multi-query, dropout", {1, 136, 3, 1, 32, 0, 0.25}},
    {"width 32, dropout of an odd length", {2, 37, 2, 1, 32, 0, 0.3}},
    {"width 96, window of a tile", {1, 150, 2, 1, 96, 32}},
    {"width 128, window", {1, 150, 2, 1, 128, 70}},
    {"width 40, padded to 64", {1, 70, 2, 1, 40}},
    {"width 72, padded to 96", {1, 70, 1, 1, 72, 33}},
    {"width 104, padded to 128, dropout", {1, 72, 1, 1, 104, 0, 0.2}},
};

Values output_of(const char* op, const OpCase& test, DeviceKind device, DType real,
                 const std::vector<Operand>& inputs) {
  LaunchRequest request{.device = device, .real = real, .threads = 2, .modes = {}, .in_place = {}, .previous = {}};
  request.in_place.assign(find_op(op).outputs.size(), false);
  return launch_op(find_op(op), test.attributes, test.state, inputs, request).out[0];
}

double largest_difference(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= most)) most = difference;  // keeps NaN
  }
  return most;
}

}  // namespace

TEST_CASE("attention_flash") {
  for (const Named& named : kCases) {
    const OpCase test = attention_case("attention_flash", named.name, named.sizes);
    if (has_cuda() && named.sizes.D > 128) {
      const std::vector<std::string> failures =
          failures_of(test, find_op("attention_flash"), &find_op("attention_flash_backward"));
      REQUIRE(failures.size() == 1);
      CHECK(failures[0].find("expected a head width of at most 128 on cuda, got 130") != std::string::npos);
    } else {
      check_op(test);
    }
  }
  for (const std::int64_t D : {4, 8}) {
    OpCase later = attention_case("attention_flash", "dropout in a later micro-batch", {2, 10, 2, 2, D, 0, 0.5});
    later.state.micro_batch = 2;
    check_op(later);
  }
}

TEST_CASE("attention_flash: wide heads") {
  for (const Named& named : kWideCases) check_op(attention_case("attention_flash", named.name, named.sizes));
}

// All scores are 44.4, so the largest stands in the first tile of keys. What its multiple that exponents are taken
// relative to is rounded by, 2.5e-6, must not count once more in each of the tiles that follow.
TEST_CASE("attention_flash: a maximum that stays costs nothing") {
  OpCase test = attention_case("attention_flash", "equal scores", {1, 3072, 1, 1, 8});
  Values tokens;
  for (int t = 0; t < 3072; ++t) {
    for (int c = 0; c < 24; ++c) tokens.push_back(c < 8 ? 12.5625 : c < 16 ? 1.25 : t % 5 - 2);
  }
  test.inputs[0].fill = Fill::values(std::move(tokens));
  check_large(test);
}

TEST_CASE("attention_cudnn") {
  for (const Named& named : kCases) {
    OpCase test = attention_case("attention_cudnn", named.name, named.sizes);
    test.single = false;
    if (named.sizes.p > 0) {
      CHECK_THROWS_WITH_AS(output_of("attention_cudnn", test, DeviceKind::ref, DType::f32,
                                     operands_of(attention_case("attention_flash", named.name, named.sizes),
                                                 find_op("attention_flash"))),
                           doctest::Contains("[attention_cudnn] expected no dropout (p=0), got heads="), Error);
    } else if (!has_cuda() || named.sizes.D % 8 == 0) {
      check_op(test);
    }
  }
}

TEST_CASE("attention_naive") {
  for (const Named& named : kCases) check_op(attention_case("attention_naive", named.name, named.sizes));
}

TEST_CASE("attention: naive and flash are the same function") {
  for (const Named& named : kCases) {
    CAPTURE(named.name);
    const OpCase test = attention_case("attention_flash", named.name, named.sizes);
    const std::vector<Operand> inputs = operands_of(test, find_op("attention_flash"));
    // In double both agree to rounding; float outputs are averages of values around 1 with a few roundings each.
    CHECK(largest_difference(output_of("attention_flash", test, DeviceKind::ref, DType::f64, inputs),
                             output_of("attention_naive", test, DeviceKind::ref, DType::f64, inputs)) < 1e-13);
    CHECK(largest_difference(output_of("attention_flash", test, DeviceKind::cpu, DType::f32, inputs),
                             output_of("attention_naive", test, DeviceKind::cpu, DType::f32, inputs)) < 1e-5);
  }
}

namespace {

/// Which key head each query head uses, counted off by hand: numbers of groups and heads that differ, so that neither
/// can stand for the other.
struct Sharing {
  int heads, kv_heads;
  std::vector<std::size_t> key_head;
};
const Sharing kSharings[] = {{3, 1, {0, 0, 0}}, {6, 2, {0, 0, 0, 1, 1, 1}}, {6, 3, {0, 0, 1, 1, 2, 2}}};
constexpr std::size_t kSharedWidth = 8;

/// Where lane i of a row of multi-head attention comes from in the row of heads that share: of queries if
/// `with_queries`, then keys, then values.
std::vector<std::size_t> lanes_from(const Sharing& sharing, bool with_queries) {
  std::vector<std::size_t> from;
  const std::size_t queries = with_queries ? sharing.key_head.size() : 0;
  for (std::size_t lane = 0; lane < queries * kSharedWidth; ++lane) from.push_back(lane);
  for (std::size_t part = 0; part < 2; ++part) {
    for (const std::size_t kv : sharing.key_head) {
      const std::size_t head = queries + part * static_cast<std::size_t>(sharing.kv_heads) + kv;
      for (std::size_t lane = 0; lane < kSharedWidth; ++lane) from.push_back(head * kSharedWidth + lane);
    }
  }
  return from;
}

/// Rows of heads that share, spread out to rows of multi-head attention.
Values repeated(const Values& rows, const std::vector<std::size_t>& from) {
  const std::size_t width = *std::ranges::max_element(from) + 1;
  Values wide;
  for (std::size_t row = 0; row < rows.size(); row += width) {
    for (const std::size_t lane : from) wide.push_back(rows[row + lane]);
  }
  return wide;
}

/// Gradients of the copies, added up: the gradient of what was copied.
Values gathered(const Values& wide, const std::vector<std::size_t>& from) {
  const std::size_t width = *std::ranges::max_element(from) + 1;
  Values rows(wide.size() / from.size() * width, 0.0);
  for (std::size_t i = 0; i < wide.size(); ++i) rows[i / from.size() * width + from[i % from.size()]] += wide[i];
  return rows;
}

struct Exactness {
  DeviceKind device;
  DType real;
  double error;  ///< sums of a dozen numbers around 1, rounded a few times
};
std::vector<Exactness> exactnesses() {
  std::vector<Exactness> all{{DeviceKind::ref, DType::f64, 1e-13}, {DeviceKind::cpu, DType::f32, 1e-5}};
  if (has_cuda()) all.push_back({DeviceKind::cuda, DType::f32, 1e-5});
  return all;
}

LaunchResult launched(const char* op, const OpCase& test, const Exactness& on, const std::vector<Operand>& inputs) {
  LaunchRequest request{
      .device = on.device, .real = on.real, .threads = 2, .modes = {}, .in_place = {}, .previous = {}};
  request.in_place.assign(find_op(op).outputs.size(), false);
  return launch_op(find_op(op), test.attributes, test.state, inputs, request);
}

}  // namespace

TEST_CASE("attention: heads that share keys are multi-head attention with repeated keys and values") {
  for (const Sharing& sharing : kSharings) {
    CAPTURE(sharing.heads);
    CAPTURE(sharing.kv_heads);
    constexpr std::int64_t kWidth = kSharedWidth;
    const Sizes sizes{2, 11, sharing.heads, sharing.kv_heads, kWidth};
    const Sizes all{2, 11, sharing.heads, sharing.heads, kWidth};
    const OpCase small = attention_case("attention_flash", "shared", sizes);
    const OpCase large = attention_case("attention_flash", "repeated", all);
    const std::vector<std::size_t> from = lanes_from(sharing, /*with_queries=*/true);
    const Operand qkv = operands_of(small, find_op("attention_flash")).front();
    const Operand wide{large.inputs[0].type, repeated(qkv.values, from)};
    for (const std::string op : {"attention_flash", "attention_naive"}) {
      for (const Exactness& on : exactnesses()) {
        CAPTURE(op);
        CAPTURE(on.device);
        const auto both = [&](const OpCase& test, const Operand& in) {
          const LaunchResult forward = launched(op.c_str(), test, on, {in});
          const Operand y{f32({2, 11, sharing.heads * kWidth}), forward.out[0]};
          const Operand saved{forward.out_types[1], forward.out[1], DType::f32};
          const std::vector<Operand> inputs =
              op == "attention_flash" ? std::vector<Operand>{in, y, saved, y} : std::vector<Operand>{in, saved, y};
          return std::pair{y.values, launched((op + "_backward").c_str(), test, on, inputs).out[0]};
        };
        const auto [y, dqkv] = both(small, qkv);
        const auto [wide_y, wide_dqkv] = both(large, wide);
        CHECK(largest_difference(y, wide_y) < on.error);
        CHECK(largest_difference(dqkv, gathered(wide_dqkv, from)) < on.error);
      }
    }
  }
}

TEST_CASE("attention_cached: heads that share keys are multi-head attention with repeated keys and values") {
  for (const Sharing& sharing : kSharings) {
    CAPTURE(sharing.heads);
    CAPTURE(sharing.kv_heads);
    constexpr std::int64_t kWidth = kSharedWidth;
    OpCase small, large;
    for (OpCase* test : {&small, &large}) {
      const int kv_heads = test == &small ? sharing.kv_heads : sharing.heads;
      test->name = "cached", test->op = "attention_cached";
      test->attributes = cached_attributes_of({2, 1, sharing.heads, kv_heads, kWidth});
      test->inputs = {{"qkv", f32({2, 1, (sharing.heads + 2 * kv_heads) * kWidth})},
                      {"cache", f32({2, 5, 2 * kv_heads * kWidth})}};
      test->state.position = 3;
    }
    const std::vector<std::size_t> from = lanes_from(sharing, /*with_queries=*/true);
    const std::vector<std::size_t> cache_from = lanes_from(sharing, /*with_queries=*/false);
    const std::vector<Operand> shared = operands_of(small, find_op("attention_cached"));
    const std::vector<Operand> wide{{large.inputs[0].type, repeated(shared[0].values, from)},
                                    {large.inputs[1].type, repeated(shared[1].values, cache_from)}};
    for (const Exactness& on : exactnesses()) {
      CAPTURE(on.device);
      const LaunchResult one = launched("attention_cached", small, on, shared);
      const LaunchResult other = launched("attention_cached", large, on, wide);
      CHECK(largest_difference(one.out[0], other.out[0]) < on.error);
      CHECK(repeated(one.in_after[1], cache_from) == other.in_after[1]);
    }
  }
}

TEST_CASE("attention: two micro-batches drop what the whole batch drops") {
  const OpCase whole = attention_case("attention_flash", "whole", {2, 9, 2, 2, 4, 0, 0.5});
  OpCase part = attention_case("attention_flash", "part", {1, 9, 2, 2, 4, 0, 0.5});
  const std::vector<Operand> inputs = operands_of(whole, find_op("attention_flash"));
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    Values joined;
    for (part.state.micro_batch = 0; part.state.micro_batch < 2; ++part.state.micro_batch) {
      const auto begin = inputs[0].values.begin() + part.state.micro_batch * 9 * 24;
      const Operand half{f32({1, 9, 24}), Values(begin, begin + 9 * 24)};
      const Values y = output_of("attention_flash", part, device, DType::f32, {half});
      joined.insert(joined.end(), y.begin(), y.end());
    }
    CHECK(joined == output_of("attention_flash", whole, device, DType::f32, inputs));
  }
}

TEST_CASE("attention: scores far apart neither overflow nor lose the largest") {
  OpCase test = attention_case("attention_flash", "steep", {1, 130, 1, 1, 16});
  test.inputs[0].fill = Fill::normal(0, 30);
  const std::vector<Operand> inputs = operands_of(test, find_op("attention_flash"));
  const Values exact = output_of("attention_flash", test, DeviceKind::ref, DType::f64, inputs);
  for (const char* op : {"attention_flash", "attention_naive"}) {
    // Scores up to some 1e4 carry float roundings near 1e-3, which are relative errors of the probabilities.
    CHECK(largest_difference(exact, output_of(op, test, DeviceKind::cpu, DType::f32, inputs)) < 0.1);
  }
}

TEST_CASE("attention: the future does not leak, not even as NaN from other tiles") {
  const OpCase test = attention_case("attention_flash", "causal", {1, 200, 1, 1, 16});
  std::vector<Operand> inputs = operands_of(test, find_op("attention_flash"));
  const Values before = output_of("attention_flash", test, DeviceKind::cpu, DType::f32, inputs);
  for (std::size_t i = 130 * 48; i < 200 * 48; ++i) inputs[0].values[i] = std::numeric_limits<double>::quiet_NaN();
  for (const char* op : {"attention_flash", "attention_naive"}) {
    const Values after = output_of(op, test, DeviceKind::cpu, DType::f32, inputs);
    for (std::size_t i = 0; i < 128 * 16; ++i) REQUIRE(std::abs(after[i] - before[i]) < 1e-5);  // as above
    for (std::size_t i = 130 * 16; i < 200 * 16; ++i) REQUIRE(std::isnan(after[i]));
  }
}

TEST_CASE("attention_cached") {
  for (const std::int64_t position : {0, 1, 6, 99}) {
    for (const int window : {0, 3}) {
      OpCase test;
      test.name = "cached";
      test.op = "attention_cached";
      test.attributes = cached_attributes_of({2, 1, 6, 2, 20, window});
      test.inputs = {{"qkv", f32({2, 1, 200})}, {"cache", f32({2, 100, 80})}};
      test.updated = {"cache"};
      test.constants = {"qkv", "cache"};
      test.state.position = position;
      test.rejects = {{"qkv", f32({2, 2, 200})}, {"cache", f32({1, 100, 80})}, {"cache", f32({2, 100, 40})}};
      check_op(test);
    }
  }
}

TEST_CASE("attention_cached: token by token gives the rows of the whole text, and a full cache is an error") {
  const Sizes sizes{1, 12, 2, 1, 6, 5};
  const OpCase whole = attention_case("attention_flash", "whole", sizes);
  const std::vector<Operand> text = operands_of(whole, find_op("attention_flash"));
  const Values expected = output_of("attention_flash", whole, DeviceKind::ref, DType::f64, text);
  const OpDef& op = find_op("attention_cached");
  Operand cache{f32({1, 12, 12}), Values(144, 0.0)};
  StepState state = whole.state;
  for (std::int64_t t = 0; t < 12; ++t) {
    state.position = t;
    const auto at = text[0].values.begin() + t * 24;
    const Operand token{f32({1, 1, 24}), Values(at, at + 24)};
    const LaunchResult result = launch_op(op, cached_attributes_of(sizes), state, {token, cache},
                                          {.device = DeviceKind::ref,
                                           .real = DType::f64,
                                           .threads = 1,
                                           .modes = {},
                                           .in_place = {false},
                                           .previous = {}});
    cache.values = result.in_after[1];
    const Values row(expected.begin() + t * 12, expected.begin() + (t + 1) * 12);
    CHECK(largest_difference(result.out[0], row) < 1e-13);  // rounding of double
  }
  state.position = 12;
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    const Operand token{f32({1, 1, 24}), Values(24, 1.0)};
    CHECK_THROWS_AS(
        launch_op(
            op, cached_attributes_of(sizes), state, {token, cache},
            {.device = device, .real = DType::f32, .threads = 1, .modes = {}, .in_place = {false}, .previous = {}}),
        Error);
  }
}

}  // namespace isoloss::test
