// Residual add.
//
//   add   a [...], b [...] -> y [...]   y = a + b; y may stand in place of a
//
// All tensors share one real dtype. The gradient of y passes unchanged to a and b, so there is no backward op.
// 1 FLOP an element; three operands of traffic; nothing saved, no scratch.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void add_ref(DeviceContext& context, const OpCall& call);
void add_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void add_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
