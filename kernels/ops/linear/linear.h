// linear: y = act(x · W + bias), the projection of every layer; linear_backward: its gradients.
//
// M = rows of x (all dimensions but the last), K = inputs, N = outputs. All tensors f32 or all f64.
//
//   linear           x [...,K], w [K,N] ([N,K] with attribute transposed = 1), bias? [N]
//                    -> y [...,N], pre [...,N] (saved): x · W + bias, exists only when `activation` is not 0
//   linear_backward  x, w, pre?, dy [...,N], bias? (only its presence counts)
//                    -> dx [...,K], dw like w, dbias [N]: each may be skipped or accumulated;
//                       dpre [...,N] = dy · act'(pre), may take the place of dy; exists only with an activation
//
// Attributes: transposed (default 0; w [in,out] is the layout of GPT-2's Conv1D), activation (Activation, default 0).
// In a graph without backward pass `pre` is skipped and the activation happens in place of y.
// FLOPs: 2·M·N·K forward and for each of dx, dw, and a few an element for bias and activation. Bytes: every operand
// once. Scratch on cpu: packed panels of the products (gemm.h), partial sums of dbias.
#pragma once

#include "kernels/core/op.h"
#include "kernels/ops/activation/activation.h"

namespace isoloss {

namespace linear_ports {
enum Input { kX, kW, kBias };
enum Output { kY, kPre };
enum BackwardInput { kBackX, kBackW, kBackPre, kBackDy, kBackBias };
enum BackwardOutput { kDx, kDw, kDbias, kDpre };
}  // namespace linear_ports

void linear_ref(DeviceContext& context, const OpCall& call);
void linear_cpu(DeviceContext& context, const OpCall& call);
void linear_backward_ref(DeviceContext& context, const OpCall& call);
void linear_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void linear_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void linear_backward_cuda(DeviceContext& context, const OpCall& call);

std::size_t linear_cpu_scratch(const OpTypes& types, int threads);
std::size_t linear_backward_cpu_scratch(const OpTypes& types, int threads);

/// The attribute `activation`; none when it is absent.
inline Activation linear_activation(const Attributes& attributes) {
  return attributes.has("activation") ? activation_of(attributes) : Activation::none;
}

/// The sizes of a call, read from x, w and the attributes.
struct LinearSizes {
  std::int64_t m, n, k;
  bool transposed;

  LinearSizes(const Shape& x, const Shape& w, const Attributes& attributes)
      : m(x.rows()), n(w[attributes.flag("transposed") ? 0 : 1]), k(x[-1]), transposed(attributes.flag("transposed")) {}
};

}  // namespace isoloss
