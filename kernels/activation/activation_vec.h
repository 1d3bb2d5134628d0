// The activation functions on registers, for the fast kernels here and for fused epilogues elsewhere.
#pragma once

#include "kernels/activation/activation.h"
#include "kernels/core/vec.h"

namespace isoloss {

namespace detail {

/// The standard normal distribution at x.
struct Normal {
  Vec cumulative;  ///< Φ(x)
  Vec bell;        ///< exp(-x²/2)
};

/// Φ(-|x|) = exp(-x²/2) · M(|x|) with Mills' ratio M as a quotient of polynomials, fitted for this project to minimise
/// the largest relative error on [0, 14.5]: 6e-9. One exponential serves Φ and its derivative, the far tail keeps its
/// relative accuracy, and all coefficients are positive, so nothing cancels. Beyond 14.5 the bell is 0 in float.
inline Normal normal(Vec x) {
  static constexpr float kOver[] = {0.5000000029f, 0.4382652639f, 0.1832109888f, 0.0406244344f, 0.004114804042f};
  static constexpr float kUnder[] = {1.0f, 1.674415502f, 1.202407525f, 0.4694062592f, 0.1018368058f, 0.01031416436f};
  const Vec bell = exp(x * x * -0.5f);
  const Vec reach = min_number(Vec(14.5f), abs(x));  // a NaN is the second operand: kept
  const Vec tail = bell * polynomial(kOver, reach) / polynomial(kUnder, reach);
  return {select(x < Vec(0.0f), tail, 1.0f - tail), bell};
}

/// (1 + tanh u) / 2 = 1 / (1 + exp(-2u)) with the u of the tanh approximation, and what it lacks to 1, without
/// cancelling.
struct TanhGate {
  Vec open, shut;
};
inline TanhGate tanh_gate(Vec x) {
  const Vec minus_twice =
      x * fma(x * x, static_cast<float>(-2 * kRoot2OverPi * kGeluCubic), static_cast<float>(-2 * kRoot2OverPi));
  const Vec power = exp(min_number(Vec(80.0f), minus_twice));  // finite; a NaN is the second operand: kept
  const Vec open = Vec(1.0f) / (power + 1.0f);
  return {open, power * open};
}

}  // namespace detail

template <Activation kind>
inline Vec activate(Vec x) {
  if constexpr (kind == Activation::gelu) {
    return x * detail::normal(x).cumulative;
  } else if constexpr (kind == Activation::gelu_tanh) {
    return x * detail::tanh_gate(x).open;
  } else if constexpr (kind == Activation::relu2) {
    return select(x < Vec(0.0f), 0.0f, x * x);
  } else {
    return x;
  }
}

template <Activation kind>
inline Vec activate_derivative(Vec x) {
  if constexpr (kind == Activation::gelu) {
    const detail::Normal normal = detail::normal(x);
    return fma(x * static_cast<float>(detail::kInverseRoot2Pi), normal.bell, normal.cumulative);
  } else if constexpr (kind == Activation::gelu_tanh) {
    constexpr double kTwice = 2 * detail::kRoot2OverPi;  // the gate's derivative is open · shut · (2u)'
    const detail::TanhGate gate = detail::tanh_gate(x);
    const Vec slope = fma(x * x, static_cast<float>(kTwice * 3 * detail::kGeluCubic), static_cast<float>(kTwice));
    return gate.open * fma(x * slope, gate.shut, 1.0f);
  } else if constexpr (kind == Activation::relu2) {
    return select(x < Vec(0.0f), 0.0f, x * 2.0f);
  } else {
    return 1.0f;
  }
}

/// Calls f with the activation as a compile-time constant: f.template operator()<kind>().
template <class F>
void with_activation(Activation kind, F&& f) {
  switch (kind) {
    case Activation::gelu:
      return f.template operator()<Activation::gelu>();
    case Activation::gelu_tanh:
      return f.template operator()<Activation::gelu_tanh>();
    case Activation::relu2:
      return f.template operator()<Activation::relu2>();
    case Activation::none:
      break;
  }
  f.template operator()<Activation::none>();
}

}  // namespace isoloss
