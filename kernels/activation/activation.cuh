// Activation functions in kernels, in float.
#pragma once

#include "kernels/activation/activation.h"
#include "kernels/core/ptx.cuh"

namespace isoloss {

/// 1 / (1 + 2^power) and what it lacks to 1, without cancelling. Two operations of the special function unit, and no
/// branch as in tanhf and divisions: those, not the memory, would set the speed. A NaN stays.
struct Gate {
  float open, shut;
};
DEVICE Gate gate(float power) {
  const float exponential = exp2_approx(power > 120.0f ? 120.0f : power);  // finite: 0 · infinity would be NaN
  const float whole = 1.0f + exponential, guess = reciprocal_approx(whole);
  const float open = fmaf(guess, fmaf(-whole, guess, 1.0f), guess);  // Newton's step, for what float32 is held to
  return {open, exponential * open};
}
inline constexpr float kLog2E = 1.4426950408889634f;

/// The logistic function of x.
DEVICE Gate sigmoid(float x) { return gate(-kLog2E * x); }

/// (1 + tanh u) / 2 with the u of the tanh approximation: the logistic function of 2u.
DEVICE Gate tanh_gate(float x) {
  constexpr auto kLinear = static_cast<float>(-2 * detail::kRoot2OverPi * 1.4426950408889634);
  constexpr auto kCubic = static_cast<float>(-2 * detail::kRoot2OverPi * detail::kGeluCubic * 1.4426950408889634);
  return gate(x * fmaf(x * x, kCubic, kLinear));
}

template <Activation kind>
DEVICE float activate_on_device(float x) {
  if constexpr (kind == Activation::gelu) {
    return 0.5f * x * (1.0f + erff(x * static_cast<float>(detail::kInverseRoot2)));
  } else if constexpr (kind == Activation::gelu_tanh) {
    return x * tanh_gate(x).open;
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
    const float bell = exp2_approx(-0.5f * kLog2E * x * x);
    return fmaf(x * static_cast<float>(detail::kInverseRoot2Pi), bell, cumulative);
  } else if constexpr (kind == Activation::gelu_tanh) {
    constexpr double kTwice = 2 * detail::kRoot2OverPi;  // the gate's derivative is open · shut · (2u)'
    const Gate own = tanh_gate(x);
    const float slope = fmaf(x * x, static_cast<float>(kTwice * 3 * detail::kGeluCubic), static_cast<float>(kTwice));
    return own.open * fmaf(x * slope, own.shut, 1.0f);
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
