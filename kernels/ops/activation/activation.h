// Activation functions and their derivatives, elementwise.
//
//   activation            x [...] -> y [...]             y = f(x)
//   activation_backward   x [...], dy [...] -> dx [...]  dx = dy · f'(x); dx may stand in place of dy or be added to
//
// Attribute `activation`: 0 none, 1 exact GELU x·Φ(x), 2 its tanh approximation (both: Hendrycks and Gimpel,
// arXiv 1606.08415), 3 ReLU² max(x, 0)² (So et al., arXiv 2109.08668).
// All tensors share one real dtype. Nothing is saved but x itself; no scratch.
// FLOPs an element: kActivationFlops and kActivationBackwardFlops, a transcendental function counted as one.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/core/op.h"

namespace isoloss {

enum class Activation : std::uint8_t { none, gelu, gelu_tanh, relu2 };
inline constexpr int kActivations = 4;
inline constexpr double kActivationFlops[kActivations] = {0, 5, 9, 2};
inline constexpr double kActivationBackwardFlops[kActivations] = {1, 10, 16, 3};

/// The attribute `activation`; throws Error (exit 2) when it is none of the kinds.
Activation activation_of(const Attributes& attributes);

namespace detail {
inline constexpr double kInverseRoot2 = 0.70710678118654752440;    // 1 / √2
inline constexpr double kInverseRoot2Pi = 0.39894228040143267794;  // 1 / √(2π)
inline constexpr double kRoot2OverPi = 0.79788456080286535588;     // √(2/π)
inline constexpr double kGeluCubic = 0.044715;
}  // namespace detail

/// f(x), the specification.
template <class T>
T activate(Activation kind, T x) {
  switch (kind) {
    case Activation::gelu:
      return T(0.5) * x * (T(1) + std::erf(x * T(detail::kInverseRoot2)));
    case Activation::gelu_tanh: {
      const T inner = T(detail::kRoot2OverPi) * (x + T(detail::kGeluCubic) * x * x * x);
      return T(0.5) * x * (T(1) + std::tanh(inner));
    }
    case Activation::relu2:
      return x < T(0) ? T(0) : x * x;  // so asked, a NaN takes the second branch and stays
    case Activation::none:
      break;
  }
  return x;
}

/// f'(x), the specification.
template <class T>
T activate_derivative(Activation kind, T x) {
  switch (kind) {
    case Activation::gelu: {
      const T cumulative = T(0.5) * (T(1) + std::erf(x * T(detail::kInverseRoot2)));
      return cumulative + x * T(detail::kInverseRoot2Pi) * std::exp(T(-0.5) * x * x);
    }
    case Activation::gelu_tanh: {
      const T inner = T(detail::kRoot2OverPi) * (x + T(detail::kGeluCubic) * x * x * x);
      const T slope = T(detail::kRoot2OverPi) * (T(1) + T(3 * detail::kGeluCubic) * x * x);
      const T tangent = std::tanh(inner);
      return T(0.5) * (T(1) + tangent) + T(0.5) * x * (T(1) - tangent * tangent) * slope;
    }
    case Activation::relu2:
      return x < T(0) ? T(0) : T(2) * x;
    case Activation::none:
      break;
  }
  return T(1);
}

void activation_ref(DeviceContext& context, const OpCall& call);
void activation_cpu(DeviceContext& context, const OpCall& call);
void activation_backward_ref(DeviceContext& context, const OpCall& call);
void activation_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void activation_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void activation_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
