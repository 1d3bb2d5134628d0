#include "kernels/ops/rope/rope.h"

#include <fmt/format.h>

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const char* op, const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect(x.shape.rank() == 3 && is_real(x), op, "a tensor of shape [B, T, (H + 2K)·D] in f32 or f64", x.text());
  const std::int64_t heads = types.attributes.integer("heads"), kv_heads = types.attributes.integer("kv_heads");
  expect(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, op, "heads divisible by kv_heads",
         fmt::format("heads {}, kv_heads {}", heads, kv_heads));
  const std::int64_t lanes = heads + 2 * kv_heads;
  expect(x.shape[2] > 0 && x.shape[2] % (2 * lanes) == 0, op,
         fmt::format("{} heads of an even width in the last dimension", lanes), x.text());
  return {x};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) {
  const RopeDims dims(types.attributes, types.in[0].shape);
  const double pairs = static_cast<double>(dims.B * dims.T * dims.heads * (dims.D / 2));
  return {6 * pairs, 0, operand_bytes(types, mode)};
}

std::size_t scratch(const OpTypes& types, DeviceKind device, int) {
  const RopeDims dims(types.attributes, types.in[0].shape);
  return device == DeviceKind::cpu ? static_cast<std::size_t>(dims.T * dims.D) * sizeof(float) : 0;
}

}  // namespace

std::vector<OpDef> define_rope() {
  OpDef forward;
  forward.name = "rope";
  forward.inputs = {{"qkv"}};
  forward.outputs = {{.name = "y", .in_place_of = "qkv"}};
  forward.attributes = {{"heads", AttributeType::integer}, {"kv_heads", AttributeType::integer}, {"theta"}};
  forward.infer = [](const OpTypes& types) { return infer("rope", types); };
  forward.cost = cost;
  forward.check_cuda = [](const OpTypes& types) { expect_rope_width(RopeDims(types.attributes, types.in[0].shape).D); };
  forward.scratch = scratch;
  forward.gradient.op = "rope_backward";
  forward.gradient.reads = {{"dy", "dy"}};
  forward.gradient.writes = {{"dqkv", "qkv"}};
  forward.launch = {rope_ref, rope_cpu, rope_cuda};

  OpDef backward;
  backward.name = "rope_backward";
  backward.inputs = {{"dy"}};
  backward.outputs = {{.name = "dqkv", .in_place_of = "dy"}};
  backward.infer = [](const OpTypes& types) { return infer("rope_backward", types); };
  backward.cost = cost;
  backward.scratch = scratch;
  backward.launch = {rope_backward_ref, rope_backward_cpu, rope_backward_cuda};
  return {forward, backward};
}

}  // namespace isoloss
