#include "kernels/ops/rmsnorm/rmsnorm.h"

#include "kernels/ops/layernorm/norm.cpu.h"

namespace isoloss {

void rmsnorm_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return rmsnorm_ref(context, call);
  const Tensor &x = call.in[0], &w = call.in[1];
  norm_forward<false>({.rows = x.shape().rows(),
                       .width = w.count(),
                       .epsilon = static_cast<float>(call.attributes.real("epsilon")),
                       .x = x.as<float>(),
                       .branch = nullptr,
                       .w = w.as<float>(),
                       .b = nullptr,
                       .sum = nullptr,
                       .y = call.out[0].as<float>(),
                       .mean = nullptr,
                       .rstd = call.out[1].as<float>()});
}

void add_rmsnorm_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return add_rmsnorm_ref(context, call);
  const Tensor &x = call.in[0], &branch = call.in[1], &w = call.in[2];
  norm_forward<false>({.rows = x.shape().rows(),
                       .width = w.count(),
                       .epsilon = static_cast<float>(call.attributes.real("epsilon")),
                       .x = x.as<float>(),
                       .branch = branch.as<float>(),
                       .w = w.as<float>(),
                       .b = nullptr,
                       .sum = call.out[0].as<float>(),
                       .y = call.out[1].as<float>(),
                       .mean = nullptr,
                       .rstd = call.out[2].as<float>()});
}

void rmsnorm_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return rmsnorm_backward_ref(context, call);
  const Tensor &x = call.in[0], &w = call.in[1];
  norm_backward<false>({.rows = x.shape().rows(),
                        .width = w.count(),
                        .x = x.as<float>(),
                        .w = w.as<float>(),
                        .mean = nullptr,
                        .rstd = call.in[2].as<float>(),
                        .dy = call.in[3].as<float>(),
                        .dx = call.out[0].as<float>(),
                        .dw = call.out[1].as<float>(),
                        .db = nullptr,
                        .dx_mode = call.mode[0],
                        .dw_mode = call.mode[1],
                        .db_mode = Mode::skip,
                        .partial = static_cast<float*>(context.scratch.data)});
}

}  // namespace isoloss
