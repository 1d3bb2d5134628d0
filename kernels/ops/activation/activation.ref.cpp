#include "kernels/ops/activation/activation.h"

#include "kernels/core/reference.h"

namespace isoloss {

void activation_ref(DeviceContext&, const OpCall& call) {
  const Activation kind = activation_of(call.attributes);
  with_real(call.in[0], [&]<class T>(T) {
    const T* x = call.in[0].as<T>();
    T* y = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) y[i] = activate(kind, x[i]);
  });
}

void activation_backward_ref(DeviceContext&, const OpCall& call) {
  const Activation kind = activation_of(call.attributes);
  with_real(call.in[0], [&]<class T>(T) {
    const T *x = call.in[0].as<T>(), *dy = call.in[1].as<T>();
    T* dx = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) {
      store(dx[i], dy[i] * activate_derivative(kind, x[i]), call.mode[0]);
    }
  });
}

}  // namespace isoloss
