// Rotary position embedding (Su et al., "RoFormer", arXiv 2104.09864) on the query and key heads of a packed tensor.
//
// rope: qkv [B,T,(H+2K)·D] -> y of the same type; may run in place. In every query and key head of token t the pair
// (i, i + D/2), i < D/2, turns by angle = position · theta^(-2i/D), position = state->position + t; values pass
// unchanged. rope_backward: dy -> dqkv; turns back by the same angles; may run in place.
//
// Angles, sines and cosines are computed in the dtype of the tensor (f32 or f64; in f32 for bf16), as PyTorch
// implementations do.
// FLOPs: 6 a pair (4 multiplications, 2 additions); the angles are shared by batch and heads and not counted.
// Scratch (cpu): cosine and sine tables, 2 · T · D/2 floats. On cuda D is at most 512.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/core/op.h"

namespace isoloss {

struct RopeDims {
  std::int64_t B, T, heads, lanes, D;  ///< heads = H + K turn, lanes = H + 2K in all

  RopeDims(const Attributes& attributes, const Shape& qkv)
      : B(qkv[0]),
        T(qkv[1]),
        heads(attributes.integer("heads") + attributes.integer("kv_heads")),
        lanes(heads + attributes.integer("kv_heads")),
        D(qkv[2] / lanes) {}
};

inline constexpr int kRopeCudaPairs = 256;  ///< of a head, at most, on cuda: their frequencies are kernel arguments

/// Throws Error (exit 2) where rope has no CUDA kernel for heads of D columns.
inline void expect_rope_width(std::int64_t D) {
  expect(D <= 2 * kRopeCudaPairs, "rope", "heads of up to " + std::to_string(2 * kRopeCudaPairs) + " columns on cuda",
         std::to_string(D));
}

/// Angle of pair i at position 1.
template <class T>
T rope_frequency(double theta, std::int64_t i, std::int64_t D) {
  return T(1) / std::pow(static_cast<T>(theta), static_cast<T>(2 * i) / static_cast<T>(D));
}

void rope_ref(DeviceContext& context, const OpCall& call);
void rope_backward_ref(DeviceContext& context, const OpCall& call);
void rope_cpu(DeviceContext& context, const OpCall& call);
void rope_backward_cpu(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void rope_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void rope_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
