// Euclidean norm of the flat gradient, and the factor that clips it.
//
//   global_norm   gradient [n] -> norm [1], factor [1]
//
//   factor = min(1, clip_norm / (norm + 1e-6)), and 1 when the attribute clip_norm is 0 (Pascanu et al., arXiv
//   1211.5063)
//
// Squares are added in double: within chunks of kNormChunk elements, then the chunks in order, so the result does not
// depend on the number of threads. NaN and infinity in the gradient are seen in norm. All tensors share one real dtype.
// Scratch (cpu): one double a chunk. 2 FLOPs an element, one read.
#pragma once

#include "kernels/core/op.h"

namespace isoloss {

inline constexpr std::int64_t kNormChunk = std::int64_t{1} << 15;

/// The clipping factor; a NaN norm gives a NaN factor.
double clip_factor(double norm, double clip_norm);

void global_norm_ref(DeviceContext& context, const OpCall& call);
void global_norm_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void global_norm_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
