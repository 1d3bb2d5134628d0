#include "kernels/ops/swiglu/swiglu.h"

#include <cmath>

#include "kernels/core/reference.h"

namespace isoloss {

void swiglu_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T *gate = call.in[0].as<T>(), *up = call.in[1].as<T>();
    T* y = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) y[i] = gate[i] / (T(1) + std::exp(-gate[i])) * up[i];
  });
}

void swiglu_backward_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T *gate = call.in[0].as<T>(), *up = call.in[1].as<T>(), *dy = call.in[2].as<T>();
    T *dgate = call.out[0].as<T>(), *dup = call.out[1].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) {
      const T sigmoid = T(1) / (T(1) + std::exp(-gate[i]));
      const T slope = sigmoid * (T(1) + gate[i] * (T(1) - sigmoid));
      const T to_gate = dy[i] * up[i] * slope, to_up = dy[i] * gate[i] * sigmoid;
      store(dgate[i], to_gate, call.mode[0]);
      store(dup[i], to_up, call.mode[1]);
    }
  });
}

}  // namespace isoloss
