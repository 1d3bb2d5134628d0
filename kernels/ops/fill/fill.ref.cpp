#include "kernels/ops/fill/fill.h"

#include <algorithm>

#include "kernels/core/reference.h"

namespace isoloss {

void fill_ref(DeviceContext&, const OpCall& call) {
  const Tensor& y = call.out[0];
  with_real(y, [&]<class T>(T) { std::fill_n(y.as<T>(), y.count(), static_cast<T>(call.attributes.real("value"))); });
}

}  // namespace isoloss
