// Activation functions in kernels, in float.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "kernels/ops/activation/activation.h"

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

/// Φ(x), and on the way to it e^{-x²/2}.
struct Normal {
  float cumulative, bell;
};

/// For tensors of T. In float32 the library's erff, whose two branches a warp usually takes both; its thirty-odd
/// instructions would set the speed of kernels on bf16, where seven digits are not kept anyway. There Φ(-z) is
/// e^{-z²/2} · r(z) for z ≥ 0, with r a polynomial in t = 1 / (1 + 0.375 z) (the form of Abramowitz and Stegun 26.2.17)
/// that is within 2^-14.9 of erfcx(z / √2) / 2, relative, for all z to 14, beyond which e^{-z²/2} leaves float32.
template <class T>
DEVICE Normal normal_of(float x) {
  const float bell = exp2_approx(-0.5f * kLog2E * x * x);
  if constexpr (sizeof(T) == 4) {
    return {0.5f * (1.0f + erff(x * static_cast<float>(detail::kInverseRoot2))), bell};
  } else {
    constexpr float r[] = {0.14906104f, 0.15773389f, 0.08356436f, 0.20028126f, -0.09064264f};  // of t, t², …
    const float t = reciprocal_approx(fmaf(fabsf(x), 0.375f, 1.0f));
    const float ratio = t * fmaf(t, fmaf(t, fmaf(t, fmaf(t, r[4], r[3]), r[2]), r[1]), r[0]);
    const float tail = bell * ratio;
    return {x < 0.0f ? tail : 1.0f - tail, bell};  // so asked, a NaN takes the second branch and stays
  }
}

/// f(x) for an element of a tensor of T.
template <Activation kind, class T>
DEVICE float activate_on_device(float x) {
  if constexpr (kind == Activation::gelu) {
    return x * normal_of<T>(x).cumulative;
  } else if constexpr (kind == Activation::gelu_tanh) {
    return x * tanh_gate(x).open;
  } else if constexpr (kind == Activation::relu2) {
    return x < 0.0f ? 0.0f : x * x;  // so asked, a NaN takes the second branch and stays
  } else {
    return x;
  }
}

/// f'(x) likewise.
template <Activation kind, class T>
DEVICE float activation_slope_on_device(float x) {
  if constexpr (kind == Activation::gelu) {
    const Normal normal = normal_of<T>(x);
    return fmaf(x * static_cast<float>(detail::kInverseRoot2Pi), normal.bell, normal.cumulative);
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
