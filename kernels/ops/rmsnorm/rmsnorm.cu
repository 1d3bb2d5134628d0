#include "kernels/ops/layernorm/norm.cuh"
#include "kernels/ops/rmsnorm/rmsnorm.h"

namespace isoloss {

namespace {

/// `fused`: the ports of add_rmsnorm.
void rmsnorm_forward(DeviceContext& context, const OpCall& call, bool fused) {
  const Tensor &x = call.in[0], &w = call.in[fused ? 2 : 1];
  const std::size_t y = fused ? 1 : 0;
  with_real(x.type.dtype, [&]<class T>(T) {
    launch_norm_forward<T, false>(context, {.x = x.as<T>(),
                                            .branch = fused ? call.in[1].as<T>() : nullptr,
                                            .w = w.as<T>(),
                                            .b = nullptr,
                                            .sum = fused ? call.out[0].as<T>() : nullptr,
                                            .y = call.out[y].as<T>(),
                                            .mean = nullptr,
                                            .rstd = call.out[y + 1].as<float>(),
                                            .rows = x.shape().rows(),
                                            .width = w.count(),
                                            .epsilon = static_cast<float>(call.attributes.real("epsilon"))});
  });
}

}  // namespace

void rmsnorm_cuda(DeviceContext& context, const OpCall& call) { rmsnorm_forward(context, call, false); }
void add_rmsnorm_cuda(DeviceContext& context, const OpCall& call) { rmsnorm_forward(context, call, true); }

void rmsnorm_backward_cuda(DeviceContext& context, const OpCall& call) {
  const Tensor& x = call.in[0];
  with_real(x.type.dtype, [&]<class T>(T) {
    launch_norm_backward<T, false>(context,
                                   {.x = x.as<T>(),
                                    .w = call.in[1].as<T>(),
                                    .dy = call.in[3].as<T>(),
                                    .mean = nullptr,
                                    .rstd = call.in[2].as<float>(),
                                    .dx = call.out[0].as<T>(),
                                    .dw = nullptr,
                                    .db = nullptr,
                                    .rows = x.shape().rows(),
                                    .width = call.in[1].count(),
                                    .accumulate = call.mode[0] == Mode::accumulate},
                                   call.out[1], call.mode[1], {}, Mode::skip);
  });
}

}  // namespace isoloss
