#include "kernels/ops/layernorm/layernorm.h"
#include "kernels/ops/layernorm/norm.cuh"

namespace isoloss {

namespace {

/// `fused`: the ports of add_layernorm.
void layernorm_forward(DeviceContext& context, const OpCall& call, bool fused) {
  const Tensor &x = call.in[0], &w = call.in[fused ? 2 : 1], &b = call.in[fused ? 3 : 2];
  const std::size_t y = fused ? 1 : 0;
  with_real(x.type.dtype, [&]<class T>(T) {
    launch_norm_forward<T, true>(context, {.x = x.as<T>(),
                                           .branch = fused ? call.in[1].as<T>() : nullptr,
                                           .w = w.as<T>(),
                                           .b = b.as<T>(),
                                           .sum = fused ? call.out[0].as<T>() : nullptr,
                                           .y = call.out[y].as<T>(),
                                           .mean = call.out[y + 1].as<float>(),
                                           .rstd = call.out[y + 2].as<float>(),
                                           .rows = x.shape().rows(),
                                           .width = w.count(),
                                           .epsilon = static_cast<float>(call.attributes.real("epsilon"))});
  });
}

}  // namespace

void layernorm_cuda(DeviceContext& context, const OpCall& call) { layernorm_forward(context, call, false); }
void add_layernorm_cuda(DeviceContext& context, const OpCall& call) { layernorm_forward(context, call, true); }

void layernorm_backward_cuda(DeviceContext& context, const OpCall& call) {
  const Tensor& x = call.in[0];
  with_real(x.type.dtype, [&]<class T>(T) {
    launch_norm_backward<T, true>(context,
                                  {.x = x.as<T>(),
                                   .w = call.in[1].as<T>(),
                                   .dy = call.in[4].as<T>(),
                                   .mean = call.in[2].as<float>(),
                                   .rstd = call.in[3].as<float>(),
                                   .dx = call.out[0].as<T>(),
                                   .dw = nullptr,
                                   .db = nullptr,
                                   .rows = x.shape().rows(),
                                   .width = call.in[1].count(),
                                   .accumulate = call.mode[0] == Mode::accumulate},
                                  call.out[1], call.mode[1], call.out[2], call.mode[2]);
  });
}

}  // namespace isoloss
