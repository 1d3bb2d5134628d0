#include "kernels/ops/swiglu/swiglu.h"

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"

namespace isoloss {

namespace {
Vec sigmoid(Vec x) { return Vec(1.0f) / (exp(-x) + 1.0f); }
}  // namespace

void swiglu_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return swiglu_ref(context, call);
  const float *gate = call.in[0].as<float>(), *up = call.in[1].as<float>();
  float* y = call.out[0].as<float>();
  parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [=](std::int64_t i, auto lanes) {
      const Vec g = load(gate + i, lanes);
      store(g * sigmoid(g) * load(up + i, lanes), y + i, lanes);
    });
  });
}

void swiglu_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return swiglu_backward_ref(context, call);
  const float *gate = call.in[0].as<float>(), *up = call.in[1].as<float>(), *dy = call.in[2].as<float>();
  float *dgate = call.out[0].as<float>(), *dup = call.out[1].as<float>();
  const Mode gate_mode = call.mode[0], up_mode = call.mode[1];
  parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [=](std::int64_t i, auto lanes) {
      const Vec g = load(gate + i, lanes), s = sigmoid(g), d = load(dy + i, lanes);
      const Vec to_gate = d * load(up + i, lanes) * s * fma(g, 1.0f - s, 1.0f);
      const Vec to_up = d * g * s;
      store(to_gate, dgate + i, lanes, gate_mode);
      store(to_up, dup + i, lanes, up_mode);
    });
  });
}

}  // namespace isoloss
