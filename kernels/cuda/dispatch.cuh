// From an element type known at run time to a template argument.
#pragma once

#include <utility>

#include "kernels/cuda/cuda.cuh"

namespace isoloss {

/// body(T{}) with T = float or bf16, by `dtype`; anything else was refused by the shape rule or is not for this device.
template <class Body>
void with_real(DType dtype, Body&& body) {
  if (dtype == DType::bf16) {
    body(bf16{});
  } else {
    expect(dtype == DType::f32, "cuda", "f32 or bf16", name_of(dtype));
    body(float{});
  }
}

/// body(std::true_type) or body(std::false_type).
template <class Body>
void with_flag(bool flag, Body&& body) {
  if (flag) {
    body(std::true_type{});
  } else {
    body(std::false_type{});
  }
}

}  // namespace isoloss
