// Dropout of an activation tensor.
//
// dropout: x, any shape -> y of the same type; y[i] = 0 with probability p, else x[i] / (1 - p); may run in place.
// dropout_backward: dy -> dx = dy · the same factors (regenerated, nothing is saved); may run in place or accumulate.
// Attributes: p in [0, 1), node (which site draws). Element i of the call is element state->micro_batch · count + i of
// the step, so that micro-batches cut from one batch draw what the whole batch would have drawn.
// A dropped element is x · 0, so NaN and infinity are never hidden.
// FLOPs: one an element. Bytes: each operand once. No scratch.
#pragma once

#include "kernels/core/dropout.h"
#include "kernels/core/op.h"

namespace isoloss {

/// The mask that the attributes `p` and `node` name in this step.
inline DropoutMask dropout_mask(const Attributes& attributes, const StepState& state) {
  return {state.seed, static_cast<std::uint64_t>(state.step), static_cast<std::uint64_t>(attributes.integer("node")),
          attributes.real("p")};
}

void dropout_ref(DeviceContext& context, const OpCall& call);
void dropout_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void dropout_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
