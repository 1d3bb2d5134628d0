#include "kernels/ops/softcap/softcap.h"

#include "kernels/core/reference.h"

namespace isoloss {

void softcap_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T cap = static_cast<T>(call.attributes.real("cap"));
    const T* x = call.in[0].as<T>();
    T* y = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) y[i] = softcap(x[i], cap);
  });
}

void softcap_backward_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T cap = static_cast<T>(call.attributes.real("cap"));
    const T *y = call.in[0].as<T>(), *dy = call.in[1].as<T>();
    T* dx = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) store(dx[i], dy[i] * softcap_slope(y[i], cap), call.mode[0]);
  });
}

}  // namespace isoloss
