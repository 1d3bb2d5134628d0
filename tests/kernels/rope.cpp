#include <doctest/doctest.h>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

OpCase rope_case(const char* name, std::int64_t B, std::int64_t T, int heads, int kv_heads, std::int64_t D) {
  OpCase test;
  test.name = name;
  test.op = "rope";
  test.attributes = {{"heads", heads}, {"kv_heads", kv_heads}, {"theta", 10000}};
  test.inputs = {{"qkv", f32({B, T, (heads + 2 * kv_heads) * D})}};
  test.rejects = {{"qkv", f32({B, T, (heads + 2 * kv_heads) * D + 1})},
                  {"qkv", f32({B, T, heads + 2 * kv_heads})},
                  {"qkv", f32({T, (heads + 2 * kv_heads) * D})}};
  return test;
}

}  // namespace

TEST_CASE("rope") {
  check_op(rope_case("two heads", 2, 5, 2, 2, 4));
  check_op(rope_case("multi-query, width beyond a vector", 2, 7, 3, 1, 38));
  check_op(rope_case("one token, one pair", 1, 1, 1, 1, 2));
  check_op(rope_case("many tokens", 2, 150, 2, 1, 16));
  check_op(rope_case("more heads than a thread of cuda turns", 2, 3, 10, 2, 16));
  OpCase decoding = rope_case("incremental decoding", 3, 1, 2, 1, 8);
  decoding.state.position = 1000;
  check_op(decoding);
}

TEST_CASE("rope turns pairs (i, i + D/2) of queries and keys by position * theta^(-2i/D)") {
  OpCase test = rope_case("by hand", 1, 2, 1, 1, 4);
  test.inputs[0].fill = Fill::values({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    // token 0
                                      1, 0, 0, 0, 0, 1, 0, 0, 5, 6, 7, 8});  // token 1: query, key, value
  const OpDef& op = find_op("rope");
  LaunchRequest request{
      .device = DeviceKind::ref, .real = DType::f64, .threads = 1, .modes = {}, .in_place = {false}, .previous = {}};
  const Values y = launch_op(op, test.attributes, test.state, operands_of(test, op), request).out[0];
  const double cos1 = 0.5403023058681398, sin1 = 0.8414709848078965, cos01 = 0.9999500004166653,
               sin01 = 0.009999833334166664;  // angles 1 and 1 / sqrt(10000)
  const double expected[] = {cos1, 0, sin1, 0, 0, cos01, 0, sin01, 5, 6, 7, 8};
  for (std::size_t i = 0; i < 12; ++i) CHECK(y[12 + i] == doctest::Approx(expected[i]).epsilon(1e-14));
}

}  // namespace isoloss::test
