// classifier: logits = x · Wᵀ, softmax and cross-entropy of the last layer without ever storing all logits.
//
// N = rows of x (all dimensions but the last), C = features, V = `vocab`, V' >= V rows of w (rows from V on are padding
// and take no part). Real tensors all f32 or all f64; targets i32 like x without its last dimension.
//
//   classifier              x [...,C], w [V',C], targets [...] -> losses [N], loss [1]
//   classifier_gradient     the same                           -> losses, loss, dx like x (may be skipped),
//                                                                 dw like w (may be skipped or accumulated)
//   cross_entropy           logits [...,V'], targets [...]     -> losses [N], loss [1]
//   cross_entropy_backward  the same                           -> dlogits like logits, may take their place
//
// losses[i] = log Σ_v exp(logit[i,v]) - logit[i,target], where softcap > 0 with the logits capped first (softcap.h);
// loss = their mean, summed one after the other in double. A target outside [0, V) makes its loss NaN.
// classifier_gradient stands in the place of classifier in a training graph; classifier followed by nothing is the
// product and cross_entropy its unfused composition's second half.
//
// Attributes: vocab (V); scale (default 1) multiplies the gradients, not the loss: 1 / micro-batches. softcap (default
// 0: off) bounds the logits; gradients go through it, so dlogits are those of the logits as they came.
// On cuda logits_bytes (default 2^30) bounds the logits that stand in memory at a time.
// Padding rows of dw are zero (written) or unchanged (accumulated), padding columns of dlogits zero.
// The padding rows of w must be finite: on cuda they meet the zero gradients of their columns.
// FLOPs: 2·N·V·C for the logits and for each of dx, dw; 4 a logit forward (subtract, exp, sum, maximum), 3 more for its
// gradient; a cap as in softcap.h. Bytes: every operand once (the logits of the fused op are not an operand).
// Scratch: the logits of a chunk of rows and, on cpu, the packed panels of the products (gemm.h).
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

namespace classifier_ports {
enum Input { kX, kW, kTargets };
enum Output { kLosses, kLoss, kDx, kDw };
}  // namespace classifier_ports
namespace cross_entropy_ports {
enum Input { kLogits, kTargets };
enum Output { kLosses, kLoss };
enum BackwardOutput { kDlogits };
}  // namespace cross_entropy_ports

void classifier_ref(DeviceContext& context, const OpCall& call);
void classifier_cpu(DeviceContext& context, const OpCall& call);
void classifier_gradient_ref(DeviceContext& context, const OpCall& call);
void classifier_gradient_cpu(DeviceContext& context, const OpCall& call);
void cross_entropy_ref(DeviceContext& context, const OpCall& call);
void cross_entropy_cpu(DeviceContext& context, const OpCall& call);
void cross_entropy_backward_ref(DeviceContext& context, const OpCall& call);
void cross_entropy_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void classifier_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void classifier_gradient_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void cross_entropy_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void cross_entropy_backward_cuda(DeviceContext& context, const OpCall& call);

/// Scratch of classifier (`gradient` false) and classifier_gradient.
std::size_t classifier_cpu_scratch(const OpTypes& types, int threads, bool gradient);

inline double gradient_scale(const Attributes& attributes) {
  return attributes.has("scale") ? attributes.real("scale") : 1.0;
}

/// The attribute softcap, 0 where logits are not capped.
inline double logit_softcap(const Attributes& attributes) {
  return attributes.has("softcap") ? attributes.real("softcap") : 0.0;
}

/// Mean of `losses` [rows], summed in order in double: exact enough for any batch, and the same on every device.
template <class T>
T mean_loss(const T* losses, std::int64_t rows) {
  double sum = 0;
  for (std::int64_t row = 0; row < rows; ++row) sum += static_cast<double>(losses[row]);
  return static_cast<T>(sum / static_cast<double>(rows));
}

}  // namespace isoloss
