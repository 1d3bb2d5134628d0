// What the ref launchers share: the choice of float or double, and storing by mode.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

/// Calls f(double{}) for f64 tensors and f(float{}) for f32 ones.
template <class F>
void with_real(const Tensor& tensor, F&& f) {
  if (tensor.type.dtype == DType::f64) {
    f(double{});
  } else {
    f(float{});
  }
}

/// to = value, or to += value.
template <class T>
void store(T& to, T value, Mode mode) {
  to = mode == Mode::accumulate ? to + value : value;
}

}  // namespace isoloss
