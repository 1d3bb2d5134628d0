// Stochastic gradient descent with momentum, one pass over flat ranges.
//
//   sgd   parameter [n], gradient [n], m? [n], factor [1] -> parameter_out [n], m_out [n], working bf16 [n]
//
// parameter_out and m_out are always the buffers of parameter and m: the operation updates in place. m and m_out may be
// absent where beta1 is 0; working, the new parameter rounded to bf16, exists where the attribute `working` says so
// (cuda). With g = factor · gradient:
//   parameter *= 1 - learning_rate · weight_decay      for the first decay_count elements (decoupled from the gradient)
//   m = beta1 · m + g
//   parameter -= learning_rate · m
// Without decay this is PyTorch's SGD with momentum = beta1 and no dampening, m starting at 0.
// Attributes: beta1, weight_decay, decay_count, working (default 0), rate_factor (default 1). The learning rate is
// rate_factor times that of the step's state. All other tensors share one real dtype. No scratch. 6 FLOPs an element; 3
// reads and 2 writes.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void sgd_ref(DeviceContext& context, const OpCall& call);
void sgd_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void sgd_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
