// The soft cap in kernels, in float.
#pragma once

#include "kernels/ops/activation/activation.cuh"

namespace isoloss {

/// tanh u, without a branch: a polynomial where 1 - 2 / (e^{2u} + 1) would cancel. At most 4 ulp. A NaN stays.
DEVICE float tanh_on_device(float u) {
  constexpr float p[] = {-0.3333333315f, 0.1333330015f,    -0.05395846163f,
                         0.02176250291f, -0.008323187058f, 0.002269501684f};
  const float magnitude = fabsf(u), squared = u * u;
  const float tail =
      fmaf(squared, fmaf(squared, fmaf(squared, fmaf(squared, fmaf(squared, p[5], p[4]), p[3]), p[2]), p[1]), p[0]);
  const float small = fmaf(magnitude * squared, tail, magnitude);
  const float large = fmaf(-2.0f, gate(2.0f * kLog2E * magnitude).open, 1.0f);
  return copysignf(magnitude < 0.625f ? small : large, u);  // so asked, a NaN takes `large`, which keeps it
}

struct DeviceSoftcap {
  float cap, inverse;
  DEVICE float operator()(float x) const { return cap * tanh_on_device(x * inverse); }
  DEVICE float slope(float y) const {
    const float part = y * inverse;
    return fmaf(-part, part, 1.0f);
  }
};

}  // namespace isoloss
