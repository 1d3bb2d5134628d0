// Costs by hand of the operations that stand in no training graph (tests/models/costs.cpp counts the others): bench and
// profiles divide by them.
#include <doctest/doctest.h>

#include <array>

#include "kernels/core/op.h"

namespace isoloss {
namespace {

TensorType f32(Shape shape) { return {DType::f32, shape}; }
TensorType i32(Shape shape) { return {DType::i32, shape}; }

Cost cost_of(const char* name, const Attributes& attributes, const std::vector<TensorType>& in) {
  const OpDef& op = find_op(name);
  const std::vector<TensorType> out = op.infer({attributes, in, {}});
  std::vector<Mode> mode;
  for (const TensorType& type : out) mode.push_back(type.present() ? Mode::write : Mode::skip);
  return op.cost({attributes, in, out}, mode);
}

void check_cost(const char* name, const Attributes& attributes, const std::vector<TensorType>& in, double flops,
                double bytes, double matmul_flops = 0) {
  CAPTURE(name);
  const Cost cost = cost_of(name, attributes, in);
  CHECK(cost.flops == flops);
  CHECK(cost.matmul_flops == matmul_flops);
  CHECK(cost.bytes == bytes);
}

}  // namespace

TEST_CASE("costs by hand of operations outside training graphs") {
  const TensorType n = f32({100}), one = f32({1});
  const double range = 4 * 100, scalar = 4;
  const Attributes decay = {{"beta1", 0.9}, {"decay_count", 0}};
  check_cost("adamw", decay, {n, n, n, n, one}, 14 * 100, 7 * range + scalar);
  check_cost("sgd", decay, {n, n, n, one}, 6 * 100, 5 * range + scalar);
  check_cost("global_norm", {}, {n}, 2 * 100, range + 2 * scalar);
  check_cost("cast", {}, {n}, 0, range + range / 2);

  const double forward[] = {0, 5, 9, 2}, backward[] = {1, 10, 16, 3};
  for (int kind = 0; kind < 4; ++kind) {
    const Attributes activation = {{"activation", kind}};
    check_cost("activation", activation, {n}, forward[kind] * 100, 2 * range);
    check_cost("activation_backward", activation, {n, n}, backward[kind] * 100, 3 * range);
  }

  // 6 rows of 80 logits, of which 67 take part.
  const std::vector<TensorType> logits = {f32({2, 3, 80}), i32({2, 3})};
  check_cost("cross_entropy", {{"vocab", 67}}, logits, 4 * 6 * 67, 4 * (6 * 80 + 6 + 6 + 1));
  check_cost("cross_entropy_backward", {{"vocab", 67}}, logits, 7 * 6 * 67, 4 * (2 * 6 * 80 + 6));

  // 4 query heads and 2 key heads of 8 columns, 2 sequences: 4·D for a live pair, and 5 of the softmax.
  const std::vector<TensorType> cached = {f32({2, 1, 64}), f32({2, 10, 32})};
  const double bytes = 4 * (2 * 64 + 2 * 10 * 32 + 2 * 32);
  for (const auto& [window, live] : {std::pair{0, 10}, {7, 7}, {20, 10}}) {
    const double pairs = 2 * 4 * live;
    check_cost("attention_cached", {{"heads", 4}, {"kv_heads", 2}, {"window", static_cast<double>(window)}}, cached,
               pairs * (4 * 8 + 5), bytes, pairs * 4 * 8);
  }

  const Attributes two = {{"top_k", 2}};
  const TensorType router = f32({5, 8}), choices = i32({5, 2}), weights = f32({5, 2});
  check_cost("gating", two, {router}, 5 * 40, 4 * (40 + 10 + 10 + 8 + 9 + 10 + 10 + 8 + 8));
  check_cost("gating_backward", two, {router, choices, weights, {}}, 6 * 40, 4 * (40 + 10 + 10 + 40));
}

TEST_CASE("costs: what nobody wants is neither computed nor read") {
  const OpDef& op = find_op("linear_backward");
  const Attributes attributes = {{"activation", 0}, {"transposed", 0}};
  const std::vector<TensorType> in = {f32({10, 3}), f32({3, 7}), {}, f32({10, 7}), f32({7})};
  const std::vector<TensorType> out = op.infer({attributes, in, {}});
  const auto cost = [&](Mode dx, Mode dw, Mode db) {
    const std::array mode{dx, dw, db, Mode::skip};
    return op.cost({attributes, in, out}, mode);
  };
  constexpr Mode skip = Mode::skip, write = Mode::write, add = Mode::accumulate;
  const double product = 2 * 10 * 3 * 7, x = 4 * 10 * 3, w = 4 * 3 * 7, y = 4 * 10 * 7, b = 4 * 7;
  CHECK(cost(write, write, write).matmul_flops == 2 * product);
  CHECK(cost(write, write, write).flops == 2 * product + 70);
  CHECK(cost(write, write, write).bytes == 2 * x + 2 * w + y + b);
  CHECK(cost(write, skip, skip).flops == product);
  CHECK(cost(write, skip, skip).bytes == w + y + x);
  CHECK(cost(skip, add, skip).flops == product);
  CHECK(cost(skip, add, skip).bytes == x + y + 2 * w);
}

}  // namespace isoloss
