// Root-mean-square normalisation over the last dimension (Zhang and Sennrich, arXiv 1910.07467), alone and fused with
// the residual add before it.
//
//   rmsnorm            x [...,C], w [C] -> y [...,C], rstd [...]
//   add_rmsnorm        x [...,C], branch [...,C], w -> sum [...,C], y, rstd
//                      the composition of add and rmsnorm: sum = x + branch (may stand in place of x), y = norm(sum)
//   rmsnorm_backward   x, w, rstd, dy -> dx [...,C], dw [C]
//
//   y = x · rstd · w     rstd = 1 / sqrt(mean of x² + epsilon)
//
// Attribute: epsilon. rstd is saved for backward and may be skipped. Both gradients may be added to or skipped. For
// add_rmsnorm, backward reads `sum` as its x, and its dx joins the gradient that flows into sum, which then goes
// unchanged to x and branch. All tensors share one real dtype; x has rank 2 or more.
// Scratch (cpu backward): kNormChunks partial dw, as in kernels/ops/layernorm/norm.cpu.h, which has the row loops of
// both. FLOPs an element: forward 4, with the add 5; backward dx 7, dw 2. Traffic: each row read once, written once.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void rmsnorm_ref(DeviceContext& context, const OpCall& call);
void rmsnorm_cpu(DeviceContext& context, const OpCall& call);
void add_rmsnorm_ref(DeviceContext& context, const OpCall& call);
void add_rmsnorm_cpu(DeviceContext& context, const OpCall& call);
void rmsnorm_backward_ref(DeviceContext& context, const OpCall& call);
void rmsnorm_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void rmsnorm_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void add_rmsnorm_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void rmsnorm_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
