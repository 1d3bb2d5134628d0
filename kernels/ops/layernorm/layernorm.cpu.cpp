#include "kernels/ops/layernorm/layernorm.h"

#include "kernels/ops/layernorm/norm.cpu.h"

namespace isoloss {

void layernorm_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return layernorm_ref(context, call);
  const Tensor &x = call.in[0], &w = call.in[1], &b = call.in[2];
  norm_forward<true>({.rows = x.shape().rows(),
                      .width = w.count(),
                      .epsilon = static_cast<float>(call.attributes.real("epsilon")),
                      .x = x.as<float>(),
                      .branch = nullptr,
                      .w = w.as<float>(),
                      .b = b.as<float>(),
                      .sum = nullptr,
                      .y = call.out[0].as<float>(),
                      .mean = call.out[1].as<float>(),
                      .rstd = call.out[2].as<float>()});
}

void add_layernorm_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return add_layernorm_ref(context, call);
  const Tensor &x = call.in[0], &branch = call.in[1], &w = call.in[2], &b = call.in[3];
  norm_forward<true>({.rows = x.shape().rows(),
                      .width = w.count(),
                      .epsilon = static_cast<float>(call.attributes.real("epsilon")),
                      .x = x.as<float>(),
                      .branch = branch.as<float>(),
                      .w = w.as<float>(),
                      .b = b.as<float>(),
                      .sum = call.out[0].as<float>(),
                      .y = call.out[1].as<float>(),
                      .mean = call.out[2].as<float>(),
                      .rstd = call.out[3].as<float>()});
}

void layernorm_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return layernorm_backward_ref(context, call);
  const Tensor &x = call.in[0], &w = call.in[1];
  norm_backward<true>({.rows = x.shape().rows(),
                       .width = w.count(),
                       .x = x.as<float>(),
                       .w = w.as<float>(),
                       .mean = call.in[2].as<float>(),
                       .rstd = call.in[3].as<float>(),
                       .dy = call.in[4].as<float>(),
                       .dx = call.out[0].as<float>(),
                       .dw = call.out[1].as<float>(),
                       .db = call.out[2].as<float>(),
                       .dx_mode = call.mode[0],
                       .dw_mode = call.mode[1],
                       .db_mode = call.mode[2],
                       .partial = static_cast<float*>(context.scratch.data)});
}

}  // namespace isoloss
