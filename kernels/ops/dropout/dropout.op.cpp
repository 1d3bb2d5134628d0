#include "kernels/ops/dropout/dropout.h"

#include <fmt/format.h>

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const char* op, const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect(is_real(x), op, "a tensor in f32 or f64", x.text());
  const double p = types.attributes.real("p");
  expect(p >= 0 && p < 1, op, "p in [0, 1)", fmt::format("{:g}", p));
  return {x};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) {
  return elementwise_cost(types, mode, mode[0] == Mode::accumulate ? 2 : 1);
}

}  // namespace

std::vector<OpDef> define_dropout() {
  OpDef forward;
  forward.name = "dropout";
  forward.inputs = {{"x"}};
  forward.outputs = {{.name = "y", .in_place_of = "x"}};
  forward.attributes = {{"p"}, {"node", AttributeType::integer}};
  forward.infer = [](const OpTypes& types) { return infer("dropout", types); };
  forward.cost = cost;
  forward.gradient.op = "dropout_backward";
  forward.gradient.reads = {{"dy", "dy"}};
  forward.gradient.writes = {{"dx", "x"}};
  forward.launch = {dropout_ref, dropout_cpu, dropout_cuda};

  OpDef backward;
  backward.name = "dropout_backward";
  backward.inputs = {{"dy"}};
  backward.outputs = {{.name = "dx", .in_place_of = "dy", .can_accumulate = true}};
  backward.infer = [](const OpTypes& types) { return infer("dropout_backward", types); };
  backward.cost = cost;
  backward.launch = {dropout_ref, dropout_cpu, dropout_cuda};
  return {forward, backward};
}

}  // namespace isoloss
