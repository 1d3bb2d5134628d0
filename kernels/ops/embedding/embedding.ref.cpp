#include "kernels/ops/embedding/embedding.h"

#include <cmath>

#include "kernels/core/reference.h"

namespace isoloss {

double sinusoidal_frequency(std::int64_t pair, std::int64_t width) {
  return std::pow(10000.0, -2.0 * static_cast<double>(pair) / static_cast<double>(width));
}

void embedding_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[1], [&]<class T>(T) {
    const Tensor &ids = call.in[0], &token = call.in[1], &position = call.in[2];
    const std::int64_t width = token.shape()[1], length = ids.shape()[1];
    const bool sinusoidal = call.attributes.flag("sinusoidal");
    for (std::int64_t n = 0; n < ids.count(); ++n) {
      const std::int64_t id = ids.as<std::int32_t>()[n], at = context.state->position + n % length;
      for (std::int64_t c = 0; c < width; ++c) {
        T value = token.as<T>()[id * width + c];
        if (position) value += position.as<T>()[at * width + c];
        if (sinusoidal) {
          const double angle = static_cast<double>(at) * sinusoidal_frequency(c / 2, width);
          value += static_cast<T>(c % 2 == 0 ? std::sin(angle) : std::cos(angle));
        }
        call.out[0].as<T>()[n * width + c] = value;
      }
    }
  });
}

void embedding_backward_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[1], [&]<class T>(T) {
    const Tensor &ids = call.in[0], &dy = call.in[1], &dtoken = call.out[0], &dposition = call.out[1];
    const std::int64_t width = dy.shape()[2], length = dy.shape()[1];
    for (const std::size_t o : {0u, 1u}) {
      for (std::int64_t i = 0; call.mode[o] == Mode::write && i < call.out[o].count(); ++i) call.out[o].as<T>()[i] = 0;
    }
    for (std::int64_t n = 0; n < ids.count(); ++n) {
      const std::int64_t id = ids.as<std::int32_t>()[n], at = context.state->position + n % length;
      for (std::int64_t c = 0; c < width; ++c) {
        const T gradient = dy.as<T>()[n * width + c];
        if (dtoken) dtoken.as<T>()[id * width + c] += gradient;
        if (dposition) dposition.as<T>()[at * width + c] += gradient;
      }
    }
  });
}

}  // namespace isoloss
