// Soft cap: values beyond ±cap are bent back smoothly, as Gemma 2 does with its logits (arXiv 2408.00118, section 2).
//
//   softcap            x [...] -> y [...], may stand in place of x      y = c · tanh(x / c)
//   softcap_backward   y, dy   -> dx, may stand in place of dy          dx = dy · (1 - (y / c)²)
//
// Attribute: cap (c > 0). All tensors share one real dtype. Backward reads the result, not x: dx may be added to.
// No scratch. FLOPs an element: forward 3, backward 4. Bytes: each operand once.
//
// classifier and cross_entropy cap their logits with the functions below and in softcap_vec.h and softcap.cuh, so the
// formula stands once on every device.
#pragma once

#include <cmath>

#include "kernels/core/op.h"

namespace isoloss {

inline constexpr double kSoftcapFlops = 3, kSoftcapSlopeFlops = 4;

template <class T>
T softcap(T x, T cap) {
  return cap * std::tanh(x / cap);
}

/// dy/dx, from y.
template <class T>
T softcap_slope(T y, T cap) {
  const T part = y / cap;
  return T(1) - part * part;
}

void softcap_ref(DeviceContext& context, const OpCall& call);
void softcap_cpu(DeviceContext& context, const OpCall& call);
void softcap_backward_ref(DeviceContext& context, const OpCall& call);
void softcap_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void softcap_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void softcap_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
