#include "kernels/ops/dropout/dropout.h"

#include "kernels/core/reference.h"

namespace isoloss {

namespace {

template <class T>
void apply(const DeviceContext& context, const OpCall& call) {
  const DropoutMask mask = dropout_mask(call.attributes, *context.state);
  const T* x = call.in[0].as<T>();
  T* y = call.out[0].as<T>();
  const std::int64_t count = call.in[0].count(), first = context.state->micro_batch * count;
  for (std::int64_t i = 0; i < count; ++i) {
    const T factor = mask.keep(static_cast<std::uint64_t>(first + i)) ? static_cast<T>(mask.scale) : T(0);
    store(y[i], x[i] * factor, call.mode[0]);
  }
}

}  // namespace

void dropout_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&](auto zero) { apply<decltype(zero)>(context, call); });
}

}  // namespace isoloss
