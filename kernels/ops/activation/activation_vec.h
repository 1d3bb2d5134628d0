// The activation functions on registers, for the fast kernels here and for fused epilogues elsewhere.
#pragma once

#include "kernels/cpu/vec.h"
#include "kernels/ops/activation/activation.h"

namespace isoloss {

namespace detail {

// An exact GELU needs Φ(x), its derivative Φ(x) + x·φ(x). Both less 1/2 are odd, so x times a function of x², here a
// quotient of polynomials fitted for this project to minimise the largest error of the product, without poles. That is
// half the work of an exponential and a quotient. The quotients err by 1e-8, rounding in them by up to 1.7e-7
// and 2.3e-7, or 2.2e-7 and 3.1e-7 on a processor that rounds twice in a multiply-add: absolute, as in the
// specification, which loses the small values far below 0 in 1 + erf.

/// Φ(x), exactly 0 or 1 beyond 5.6.
inline Vec normal_cumulative(Vec x) {
  static constexpr float kOver[] = {0.3989422321f,    0.03437623754f,  0.004707266111f,
                                    0.0001738517312f, 6.356509857e-6f, 2.214505912e-8f};
  static constexpr float kUnder[] = {1.0f,          0.2528341711f, 0.02894015796f, 0.001912984415f, 7.510207797e-5f,
                                     1.18020273e-6f};
  const Vec squared = min_number(Vec(5.6f * 5.6f), x * x);  // a NaN is the second operand: kept
  const Vec half = x * (polynomial(kOver, squared) / polynomial(kUnder, squared));
  return max_number(Vec(-0.5f), min_number(Vec(0.5f), half)) + 0.5f;
}

/// Φ(x) + x·φ(x); beyond 6 what it is there, 0 or 1 within the error above.
inline Vec gelu_slope(Vec x) {
  static constexpr float kOver[] = {0.7978845239f,    -0.01803794131f, 0.0135690067f,   0.0002852254838f,
                                    3.202715743e-05f, 1.121938681e-6f, 1.300309549e-8f, -2.888033909e-11f};
  static constexpr float kUnder[] = {
      1.0f, 0.3107256293f, 0.04558284581f, 0.004150223453f, 0.0002586065093f, 1.081225309e-5f, 3.636377528e-7f};
  const Vec reach = max_number(Vec(-6.0f), min_number(Vec(6.0f), x)), squared = reach * reach;
  return fma(reach, polynomial(kOver, squared) / polynomial(kUnder, squared), 0.5f);
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
    return x * detail::normal_cumulative(x);
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
    return detail::gelu_slope(x);
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
