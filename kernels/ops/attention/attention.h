// Causal self-attention of H query heads over K key/value heads of width D (K = H: multi-head, K = 1: multi-query).
//
// Every token of `qkv` [B,T,(H+2K)·D] is [H queries | K keys | K values]; query head h uses key head h / (H / K).
//   score(q, k) = <Q_q, K_k> / sqrt(D)                     for the live keys max(0, q - window + 1) … q
//   P(q, ·)     = softmax of the scores over the live keys  (window 0: all keys up to q)
//   y(q)        = sum over k of P(q, k) · factor(q, k) · V_k
// factor is 1 without dropout, else 0 or 1 / (1 - p), drawn for element ((b' · H + h) · T + q) · T + k of the site
// `node`, where b' = state->micro_batch · B + b numbers the sequences of the whole step.
//
// attention_flash (Dao et al., "FlashAttention", arXiv 2205.14135): qkv -> y [B,T,H·D], lse [B,H,T] (saved), the
// logarithm of the sum of exponentials of a row's scores. Never holds more than a tile of the scores.
// attention_flash_backward: qkv, y, lse, dy -> dqkv. Recomputes P = exp(score - lse) tile by tile; with
// delta = <dy, y> = sum over k of P · dP, dS = P · (dP - delta).
// attention_naive: qkv -> y, probabilities [B,H,T,T] (saved, before dropout, dead pairs 0). The scores stand in memory.
// attention_naive_backward: qkv, probabilities, dy -> dqkv.
// attention_cudnn, attention_cudnn_backward: as attention_flash, by cuDNN's fused attention. On cuda only, in bf16
// only, without dropout, for a D that is a multiple of 8; cudnn.cpp says what it promises. attention_cached: qkv
// [B,1,(H+2K)·D], cache [B,P,2·K·D] -> y [B,1,H·D]. Overwrites row state->position of the cache (an input that is
// modified) with keys | values, then attends to the rows up to it. No gradient, no dropout.
//
// All real tensors share one dtype, f32 or f64; the cpu versions handle f32 and pass f64 on to ref. On cuda f32 or
// bf16, with lse float32 and D at most 128 (attention_cached and the naive ops: any D). There flash in bf16 with D a
// multiple of 8 takes tensor cores: sums are float32, P and dS are rounded to bf16 before their second product.
// Everything else is float32 arithmetic without them. FLOPs: forward 4·D, backward 8·D for each live pair and query
// head, and a few for the softmax. Recomputation is not counted. Bytes: each operand once.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "kernels/core/op.h"
#include "kernels/ops/dropout/dropout.h"

namespace isoloss {

/// The sizes of one call, and where a head's rows lie in a packed token.
struct AttentionDims {
  std::int64_t B, T, H, K, D, window;

  AttentionDims(const Attributes& attributes, const Shape& qkv)
      : B(qkv[0]),
        T(qkv[1]),
        H(attributes.integer("heads")),
        K(attributes.integer("kv_heads")),
        D(qkv[2] / (H + 2 * K)),
        window(attributes.integer("window")) {}

  std::int64_t group() const { return H / K; }            ///< query heads that share a key head
  std::int64_t token() const { return (H + 2 * K) * D; }  ///< elements from one token to the next in qkv
  std::int64_t query_at(std::int64_t h) const { return h * D; }
  std::int64_t key_at(std::int64_t kv) const { return (H + kv) * D; }
  std::int64_t value_at(std::int64_t kv) const { return (H + K + kv) * D; }
  std::int64_t first_key(std::int64_t q) const { return window > 0 && q >= window ? q - window + 1 : 0; }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(D)); }
};

/// Dropout on the probabilities of one call.
struct AttentionDropout {
  std::optional<DropoutMask> mask;  ///< none when p = 0
  std::int64_t first_sequence, H, T;

  AttentionDropout(const Attributes& attributes, const StepState& state, const AttentionDims& dims)
      : first_sequence(state.micro_batch * dims.B), H(dims.H), T(dims.T) {
    if (attributes.real("p") > 0) mask = dropout_mask(attributes, state);
  }

  std::uint64_t element(std::int64_t b, std::int64_t h, std::int64_t q, std::int64_t k) const {
    return static_cast<std::uint64_t>((((first_sequence + b) * H + h) * T + q) * T + k);
  }
};

/// Throws Error (exit 2) where flash attention has no CUDA kernel for heads of D columns.
inline void expect_flash_width(const char* op, std::int64_t D) {
  expect(D <= 128, op, "a head width of at most 128 on cuda", std::to_string(D));
}

/// Throws Error (exit 1) unless a cache of `positions` rows has room for row `position`.
void expect_cache_room(std::int64_t position, std::int64_t positions);

// ref, float and double
void attention_flash_ref(DeviceContext& context, const OpCall& call);
void attention_flash_backward_ref(DeviceContext& context, const OpCall& call);
void attention_naive_ref(DeviceContext& context, const OpCall& call);
void attention_naive_backward_ref(DeviceContext& context, const OpCall& call);
void attention_cached_ref(DeviceContext& context, const OpCall& call);

// cpu
void attention_flash_cpu(DeviceContext& context, const OpCall& call);
void attention_flash_backward_cpu(DeviceContext& context, const OpCall& call);
void attention_naive_cpu(DeviceContext& context, const OpCall& call);
void attention_naive_backward_cpu(DeviceContext& context, const OpCall& call);
void attention_cached_cpu(DeviceContext& context, const OpCall& call);

// cuda
ISOLOSS_OPTIONAL void attention_flash_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void attention_flash_backward_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void attention_naive_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void attention_naive_backward_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void attention_cached_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void attention_cudnn_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void attention_cudnn_backward_cuda(DeviceContext& context, const OpCall& call);

// Scratch bytes of the cpu versions.
std::size_t attention_flash_cpu_scratch(const AttentionDims& dims, int threads);
std::size_t attention_flash_backward_cpu_scratch(const AttentionDims& dims, int threads);
std::size_t attention_naive_cpu_scratch(const AttentionDims& dims, int threads);
std::size_t attention_naive_backward_cpu_scratch(const AttentionDims& dims, int threads);
std::size_t attention_cached_cpu_scratch(std::int64_t positions, int threads);

}  // namespace isoloss
