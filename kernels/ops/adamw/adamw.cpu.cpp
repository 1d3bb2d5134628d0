#include "kernels/ops/adamw/adamw.h"

#include <cmath>

#include "kernels/base/parallel.h"
#include "kernels/core/rules.h"
#include "kernels/cpu/elementwise.h"

namespace isoloss {

void adamw_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return adamw_ref(context, call);
  const Attributes& attributes = call.attributes;
  const StepState& state = *context.state;
  const auto number = [](double value) { return static_cast<float>(value); };
  const float beta1 = number(attributes.real("beta1")), beta2 = number(attributes.real("beta2"));
  const float rest1 = number(1 - attributes.real("beta1")), rest2 = number(1 - attributes.real("beta2"));
  const double learning_rate = state.learning_rate * rate_factor(attributes);
  const float decay = number(1 - learning_rate * attributes.real("weight_decay"));
  // The bias corrections are folded into constants: rate · m / (sqrt(v) · root + epsilon).
  const float rate = number(learning_rate / state.bias_correction1);
  const float root = number(1 / std::sqrt(state.bias_correction2));
  const float epsilon = number(attributes.real("epsilon"));
  const std::int64_t decay_count = attributes.integer("decay_count");
  const float* gradient = call.in[1].as<float>();
  const float factor = call.in[4].as<float>()[0];
  float *parameter = call.out[0].as<float>(), *m = call.out[1].as<float>(), *v = call.out[2].as<float>();
  parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [=](std::int64_t i, auto lanes) {
      const Vec g = load(gradient + i, lanes) * factor;
      const Vec first = fma(load(m + i, lanes), beta1, g * rest1);
      const Vec second = fma(load(v + i, lanes), beta2, g * g * rest2);
      store(first, m + i, lanes);
      store(second, v + i, lanes);
      const Vec step = first * rate / fma(sqrt(second), root, epsilon);
      store(fma(load(parameter + i, lanes), leading(i, decay_count, decay, 1.0f), -step), parameter + i, lanes);
    });
  });
}

}  // namespace isoloss
