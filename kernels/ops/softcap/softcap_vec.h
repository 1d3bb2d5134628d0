// The soft cap on registers.
#pragma once

#include "kernels/cpu/vec.h"

namespace isoloss {

struct VecSoftcap {
  explicit VecSoftcap(float cap) : cap_(cap), inverse_(1.0f / cap) {}

  Vec operator()(Vec x) const { return tanh(x * inverse_) * cap_; }
  Vec slope(Vec y) const {
    const Vec part = y * inverse_;
    return fma(-part, part, Vec(1.0f));
  }

 private:
  float cap_, inverse_;
};

}  // namespace isoloss
