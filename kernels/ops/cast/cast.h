// Rounds float32 to bfloat16, to nearest even; a NaN stays a NaN.
//
//   cast   x f32 [...] -> y bf16 [...]
//
// No gradient: it makes the copy of the parameters that graphs of bf16 read. FLOPs 0, one read and one write. No
// scratch.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void cast_ref(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void cast_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
