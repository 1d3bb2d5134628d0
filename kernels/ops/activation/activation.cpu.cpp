#include "kernels/ops/activation/activation.h"

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/ops/activation/activation_vec.h"

namespace isoloss {

void activation_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return activation_ref(context, call);
  const float* x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  with_activation(activation_of(call.attributes), [&]<Activation kind>() {
    parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      for_each_vec(begin, end,
                   [=](std::int64_t i, auto lanes) { store(activate<kind>(load(x + i, lanes)), y + i, lanes); });
    });
  });
}

void activation_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return activation_backward_ref(context, call);
  const float *x = call.in[0].as<float>(), *dy = call.in[1].as<float>();
  float* dx = call.out[0].as<float>();
  const Mode mode = call.mode[0];
  with_activation(activation_of(call.attributes), [&]<Activation kind>() {
    parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      for_each_vec(begin, end, [=](std::int64_t i, auto lanes) {
        store(load(dy + i, lanes) * activate_derivative<kind>(load(x + i, lanes)), dx + i, lanes, mode);
      });
    });
  });
}

}  // namespace isoloss
