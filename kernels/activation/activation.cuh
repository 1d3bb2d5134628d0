// Activation functions in kernels: the specification's own text, in float.
#pragma once

#include "kernels/activation/activation.h"
#include "kernels/core/cuda.cuh"

namespace isoloss {

template <Activation kind>
DEVICE float activate_on_device(float x) {
  if constexpr (kind == Activation::gelu) {
    return 0.5f * x * (1.0f + erff(x * static_cast<float>(detail::kInverseRoot2)));
  } else if constexpr (kind == Activation::gelu_tanh) {
    const float inner =
        static_cast<float>(detail::kRoot2OverPi) * (x + static_cast<float>(detail::kGeluCubic) * x * x * x);
    return 0.5f * x * (1.0f + tanhf(inner));
  } else if constexpr (kind == Activation::relu2) {
    return x < 0.0f ? 0.0f : x * x;  // so asked, a NaN takes the second branch and stays
  } else {
    return x;
  }
}

template <Activation kind>
DEVICE float activation_slope_on_device(float x) {
  if constexpr (kind == Activation::gelu) {
    const float cumulative = 0.5f * (1.0f + erff(x * static_cast<float>(detail::kInverseRoot2)));
    return cumulative + x * static_cast<float>(detail::kInverseRoot2Pi) * expf(-0.5f * x * x);
  } else if constexpr (kind == Activation::gelu_tanh) {
    const float root = static_cast<float>(detail::kRoot2OverPi), cubic = static_cast<float>(detail::kGeluCubic);
    const float tangent = tanhf(root * (x + cubic * x * x * x));
    const float slope = root * (1.0f + 3.0f * cubic * x * x);
    return 0.5f * (1.0f + tangent) + 0.5f * x * (1.0f - tangent * tangent) * slope;
  } else if constexpr (kind == Activation::relu2) {
    return x < 0.0f ? 0.0f : 2.0f * x;
  } else {
    return 1.0f;
  }
}

/// body(std::integral_constant<Activation, kind>) for a kind known at run time.
template <class Body>
void with_activation(Activation kind, Body&& body) {
  switch (kind) {
    case Activation::none:
      return body(std::integral_constant<Activation, Activation::none>{});
    case Activation::gelu:
      return body(std::integral_constant<Activation, Activation::gelu>{});
    case Activation::gelu_tanh:
      return body(std::integral_constant<Activation, Activation::gelu_tanh>{});
    case Activation::relu2:
      return body(std::integral_constant<Activation, Activation::relu2>{});
  }
}

}  // namespace isoloss
