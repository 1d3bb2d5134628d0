// Token embedding with an optional position embedding.
//
//   embedding            ids [B,T] i32, token [V,C], position? [P,C] -> y [B,T,C]
//   embedding_backward   ids, dy [B,T,C], token, position? -> dtoken [V,C], dposition [P,C]
//
//   y[b,t] = token[ids[b,t]] + position[state.position + t]
//
// Attribute `sinusoidal`: adds the fixed table of Vaswani et al. (arXiv 1706.03762, section 3.5) instead, computed and
// not stored: sin(p · 10000^(-2i/C)) in column 2i, cos of the same angle in column 2i + 1.
// ids lie in [0, V) and positions in [0, P); the caller sees to both. All real tensors share one dtype, that of token.
// Both gradients may be added to or skipped; written, rows that nobody hit become 0. Every row of dtoken sums its hits
// in the order of the batch. `token` and `position` are not read by backward, they give the shapes.
// Scratch: forward, sinusoidal: on cpu C/2 frequencies in double and one row a thread, on cuda the table; backward on
// cuda: EmbeddingSort (embedding_cuda.h), and hits are summed there in runs of 32, then the runs in order.
// FLOPs: one an element for each table that is added. Traffic: rows that are used, and in backward the whole gradient
// when written.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

/// Angle per position of columns 2·pair and 2·pair + 1 of the sinusoidal table.
double sinusoidal_frequency(std::int64_t pair, std::int64_t width);

void embedding_ref(DeviceContext& context, const OpCall& call);
void embedding_cpu(DeviceContext& context, const OpCall& call);
void embedding_backward_ref(DeviceContext& context, const OpCall& call);
void embedding_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void embedding_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void embedding_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
