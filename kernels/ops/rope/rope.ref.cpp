#include "kernels/ops/rope/rope.h"

#include <cmath>

#include "kernels/core/reference.h"

namespace isoloss {

namespace {

template <class T>
void turn(const DeviceContext& context, const OpCall& call, T direction) {
  const RopeDims dims(call.attributes, call.in[0].shape());
  const T* in = call.in[0].as<T>();
  T* out = call.out[0].as<T>();
  const std::int64_t half = dims.D / 2;
  for (std::int64_t row = 0; row < dims.B * dims.T; ++row) {
    const T position = static_cast<T>(context.state->position + row % dims.T);
    for (std::int64_t head = 0; head < dims.lanes; ++head) {
      const T* x = in + (row * dims.lanes + head) * dims.D;
      T* y = out + (row * dims.lanes + head) * dims.D;
      for (std::int64_t i = 0; i < half; ++i) {
        const T first = x[i], second = x[i + half];
        if (head >= dims.heads) {
          y[i] = first, y[i + half] = second;
          continue;
        }
        const T angle = position * rope_frequency<T>(call.attributes.real("theta"), i, dims.D);
        const T cosine = std::cos(angle), sine = direction * std::sin(angle);
        y[i] = first * cosine - second * sine;
        y[i + half] = second * cosine + first * sine;
      }
    }
  }
}

void dispatch(const DeviceContext& context, const OpCall& call, int direction) {
  with_real(call.in[0], [&](auto zero) { turn(context, call, static_cast<decltype(zero)>(direction)); });
}

}  // namespace

void rope_ref(DeviceContext& context, const OpCall& call) { dispatch(context, call, 1); }
void rope_backward_ref(DeviceContext& context, const OpCall& call) { dispatch(context, call, -1); }

}  // namespace isoloss
