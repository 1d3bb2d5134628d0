#include "kernels/ops/sgd/sgd.h"

#include "kernels/base/parallel.h"
#include "kernels/core/rules.h"
#include "kernels/cpu/elementwise.h"

namespace isoloss {

void sgd_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return sgd_ref(context, call);
  const float momentum = static_cast<float>(call.attributes.real("beta1"));
  const double rate = context.state->learning_rate * rate_factor(call.attributes);
  const float learning_rate = static_cast<float>(rate);
  const float decay = static_cast<float>(1 - rate * call.attributes.real("weight_decay"));
  const std::int64_t decay_count = call.attributes.integer("decay_count");
  const float* gradient = call.in[1].as<float>();
  const float factor = call.in[3].as<float>()[0];
  float *parameter = call.out[0].as<float>(), *m = call.out[1].as<float>();  // m null: no momentum
  parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [=](std::int64_t i, auto lanes) {
      Vec velocity = load(gradient + i, lanes) * factor;
      if (m != nullptr) {
        velocity = fma(load(m + i, lanes), momentum, velocity);
        store(velocity, m + i, lanes);
      }
      const Vec kept = load(parameter + i, lanes) * leading(i, decay_count, decay, 1.0f);
      store(fma(velocity, -learning_rate, kept), parameter + i, lanes);
    });
  });
}

}  // namespace isoloss
