// AdamW (Loshchilov and Hutter, arXiv 1711.05101), one pass over flat ranges.
//
//   adamw   parameter [n], gradient [n], m [n], v [n], factor [1] -> parameter_out [n], m_out [n], v_out [n],
//                                                                    working bf16 [n]
//
// The first three outputs are always the buffers of parameter, m and v: the operation updates in place. working, the
// new parameter rounded to bf16, exists where the attribute `working` says so (cuda). With g = factor · gradient:
//   parameter *= 1 - learning_rate · weight_decay      for the first decay_count elements
//   m = beta1 · m + (1 - beta1) · g
//   v = beta2 · v + (1 - beta2) · g²
//   parameter -= learning_rate · (m / bias_correction1) / (sqrt(v / bias_correction2) + epsilon)
// Attributes: beta1, beta2, epsilon, weight_decay, decay_count, working (default 0), rate_factor (default 1). The
// learning rate is rate_factor times that of the step's state, from which the bias corrections come as well. All other
// tensors share one real dtype. No scratch. 14 FLOPs an element; 4 reads and 3 writes.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void adamw_ref(DeviceContext& context, const OpCall& call);
void adamw_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void adamw_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
