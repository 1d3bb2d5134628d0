#include "kernels/ops/global_norm/global_norm.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const OpTypes& types) {
  const TensorType& gradient = types.in[0];
  expect(is_real(gradient) && gradient.shape.rank() == 1, "global_norm", "gradient a real [n]", gradient.text());
  return {{gradient.dtype, {1}}, {gradient.dtype, {1}}};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 2); }

std::size_t scratch(const OpTypes& types, DeviceKind device, int) {
  const std::int64_t chunks = (types.in[0].shape.count() + kNormChunk - 1) / kNormChunk;
  return device != DeviceKind::ref ? static_cast<std::size_t>(chunks) * sizeof(double) : 0;
}

}  // namespace

std::vector<OpDef> define_global_norm() {
  return {{.name = "global_norm",
           .inputs = {{"gradient"}},
           .outputs = {{"norm"}, {"factor"}},
           .attributes = {{"clip_norm"}},
           .infer = infer,
           .cost = cost,
           .scratch = scratch,
           .gradient = {},
           .launch = {global_norm_ref, global_norm_cpu, global_norm_cuda}}};
}

}  // namespace isoloss
