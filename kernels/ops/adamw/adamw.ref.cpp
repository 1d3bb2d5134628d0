#include "kernels/ops/adamw/adamw.h"

#include <cmath>

#include "kernels/core/reference.h"
#include "kernels/core/rules.h"

namespace isoloss {

void adamw_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const Attributes& attributes = call.attributes;
    const StepState& state = *context.state;
    const T beta1 = static_cast<T>(attributes.real("beta1")), beta2 = static_cast<T>(attributes.real("beta2"));
    const T rest1 = static_cast<T>(1 - attributes.real("beta1")), rest2 = static_cast<T>(1 - attributes.real("beta2"));
    const T epsilon = static_cast<T>(attributes.real("epsilon"));
    const double rate = state.learning_rate * rate_factor(attributes);
    const T decay = static_cast<T>(1 - rate * attributes.real("weight_decay"));
    const T learning_rate = static_cast<T>(rate);
    const T correction1 = static_cast<T>(state.bias_correction1), correction2 = static_cast<T>(state.bias_correction2);
    const std::int64_t decay_count = attributes.integer("decay_count");
    const T* gradient = call.in[1].as<T>();
    const T factor = call.in[4].as<T>()[0];
    T *parameter = call.out[0].as<T>(), *m = call.out[1].as<T>(), *v = call.out[2].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) {
      const T g = factor * gradient[i];
      if (i < decay_count) parameter[i] *= decay;
      m[i] = beta1 * m[i] + rest1 * g;
      v[i] = beta2 * v[i] + rest2 * g * g;
      parameter[i] -= learning_rate * (m[i] / correction1) / (std::sqrt(v[i] / correction2) + epsilon);
    }
  });
}

}  // namespace isoloss
