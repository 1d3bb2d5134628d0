// fill: like [...] -> y of the same type, every element `value`. Where a gradient starts (Graph::add_loss).
//
// Attribute: value. `like` is not read. Not differentiable. No scratch. FLOPs: none. Bytes: y written once.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void fill_ref(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void fill_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
