// SwiGLU without its matrix products (Shazeer, arXiv 2002.05202).
//
//   swiglu            gate [...], up [...] -> y [...]                      y = gate · σ(gate) · up
//   swiglu_backward   gate [...], up [...], dy [...] -> dgate [...], dup [...]
//
// dgate may stand in place of dy, dup in place of up; both may be added to. All tensors share one real dtype. Nothing
// saved but the inputs, no scratch. FLOPs an element, the exponential counted as one: 5 forward, 12 backward.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void swiglu_ref(DeviceContext& context, const OpCall& call);
void swiglu_cpu(DeviceContext& context, const OpCall& call);
void swiglu_backward_ref(DeviceContext& context, const OpCall& call);
void swiglu_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void swiglu_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void swiglu_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
