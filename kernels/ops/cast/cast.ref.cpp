#include "kernels/ops/cast/cast.h"

#include "kernels/core/bf16.h"
#include "kernels/core/reference.h"

namespace isoloss {

void cast_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T* x = call.in[0].as<T>();
    auto* y = static_cast<std::uint16_t*>(call.out[0].data);
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) y[i] = bf16_bits(static_cast<float>(x[i]));
  });
}

}  // namespace isoloss
