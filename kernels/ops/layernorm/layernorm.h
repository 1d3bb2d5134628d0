// Layer normalisation over the last dimension (Ba et al., arXiv 1607.06450), alone and fused with the residual add
// before it.
//
//   layernorm            x [...,C], w [C], b? [C] -> y [...,C], mean [...], rstd [...]
//   add_layernorm        x [...,C], branch [...,C], w, b? -> sum [...,C], y, mean, rstd
//                        the composition of add and layernorm: sum = x + branch (may stand in place of x), y =
//                        norm(sum)
//   layernorm_backward   x, w, mean, rstd, dy, b? -> dx [...,C], dw [C], db [C]
//
//   y = (x - mean) · rstd · w + b     rstd = 1 / sqrt(variance + epsilon), variance biased: the mean of squared
//   distances
//
// Attribute: epsilon. mean and rstd are saved for backward and may be skipped. Every gradient may be added to or
// skipped; b is not read by backward, it says whether there is a db. For add_layernorm, backward reads `sum` as its x,
// and its dx joins the gradient that flows into sum, which then goes unchanged to x and branch.
// All tensors share one real dtype; x has rank 2 or more.
// On cuda x, y and w may be bf16; mean, rstd, dw and db are then float32. A row there is held by one block: C is at
// most 6144 in float32 where C divides by 4, 12288 in bf16 where C divides by 8, else 4096.
// Scratch (cpu and cuda, backward): partial dw and db, added in a fixed order.
// FLOPs an element: forward 7, with the add 8; backward dx 10, dw 2, db 1. Traffic: each row read once, written once.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

void layernorm_ref(DeviceContext& context, const OpCall& call);
void layernorm_cpu(DeviceContext& context, const OpCall& call);
void add_layernorm_ref(DeviceContext& context, const OpCall& call);
void add_layernorm_cpu(DeviceContext& context, const OpCall& call);
void layernorm_backward_ref(DeviceContext& context, const OpCall& call);
void layernorm_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void layernorm_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void add_layernorm_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void layernorm_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
