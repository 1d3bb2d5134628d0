#include "kernels/ops/sgd/sgd.h"

#include "kernels/core/reference.h"
#include "kernels/core/rules.h"

namespace isoloss {

void sgd_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T momentum = static_cast<T>(call.attributes.real("beta1"));
    const double rate = context.state->learning_rate * rate_factor(call.attributes);
    const T learning_rate = static_cast<T>(rate);
    const T decay = static_cast<T>(1 - rate * call.attributes.real("weight_decay"));
    const std::int64_t decay_count = call.attributes.integer("decay_count");
    const T* gradient = call.in[1].as<T>();
    const T factor = call.in[3].as<T>()[0];
    T *parameter = call.out[0].as<T>(), *m = call.out[1].as<T>();  // m null: no momentum
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) {
      if (i < decay_count) parameter[i] *= decay;
      T velocity = factor * gradient[i];
      if (m != nullptr) m[i] = velocity += momentum * m[i];
      parameter[i] -= learning_rate * velocity;
    }
  });
}

}  // namespace isoloss
