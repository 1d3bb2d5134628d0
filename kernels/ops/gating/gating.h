// gating: which k of E experts every token goes to, with what weight, and the order in which the experts take them.
//
//   gating           logits [N,E] -> weights [N,k], experts i32 [N,k], counts i32 [E], offsets i32 [E+1],
//                    permutation i32 [N·k], inverse i32 [N·k], mean_probability [E], token_fraction [E]
//   gating_backward  logits, experts, dweights [N,k], dmean_probability? [E] -> dlogits [N,E], may be accumulated
//
// probability(t, ·) = softmax of the token's logits, or with attribute `sigmoid` the logistic function of each.
// experts(t, ·) = the k largest logits, largest first; of equal ones the lower index (NaN counts as infinite).
// weights(t, j) = probability(t, experts(t, j)), with `normalise` divided by their sum over j.
// A token with a NaN logit has NaN probabilities and weights; its experts are still valid indices.
// Choice t·k + j stands in slot inverse[t·k + j], permutation[slot] = t·k + j. Slots are sorted by expert and within an
// expert by token; those of expert e are offsets[e] … offsets[e+1] - 1, counts[e] in number.
// mean_probability[e] = mean of probability(·, e), token_fraction[e] = counts[e] / (N·k): the statistics of the
// load-balancing loss E · Σ_e token_fraction[e] · mean_probability[e] (Fedus et al., "Switch Transformers",
// arXiv 2101.03961, where k = 1). token_fraction is piecewise constant and has no gradient.
// Nothing is saved but the logits: the backward op computes the probabilities again.
//
// Attributes: top_k (k, 1 … 8, at most E), sigmoid (0/1), normalise (0/1). E is at most 256, N·k below 2^31.
// logits and dlogits f32 or f64, on cuda also bf16; the other real tensors are then float32.
// FLOPs: a logit takes 5 forward (maximum, subtract, exponential, sum, divide) and 6 backward. Bytes: each operand
// once. Scratch on cuda: counts and probability sums of every chunk of kGatingChunk tokens.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/core/op.h"

namespace isoloss {

namespace gating_ports {
enum Input { kLogits };
enum Output { kWeights, kExperts, kCounts, kOffsets, kPermutation, kInverse, kMeanProbability, kTokenFraction };
enum BackwardInput { kBackLogits, kBackExperts, kBackDweights, kBackDmean };
enum BackwardOutput { kDlogits };
}  // namespace gating_ports

inline constexpr std::int64_t kMostExperts = 256, kMostChoices = 8;
inline constexpr std::int64_t kGatingChunk = 64;  ///< tokens that one block of the cuda kernels owns

struct GatingSizes {
  std::int64_t tokens, experts, choices;
  bool sigmoid, normalise;

  GatingSizes(const Shape& logits, const Attributes& attributes)
      : tokens(logits.rows()),
        experts(logits[-1]),
        choices(attributes.integer("top_k")),
        sigmoid(attributes.flag("sigmoid")),
        normalise(attributes.flag("normalise")) {}

  std::int64_t chunks() const { return (tokens + kGatingChunk - 1) / kGatingChunk; }
};

void gating_ref(DeviceContext& context, const OpCall& call);
void gating_backward_ref(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void gating_cuda(DeviceContext& context, const OpCall& call);
ISOLOSS_OPTIONAL void gating_backward_cuda(DeviceContext& context, const OpCall& call);

}  // namespace isoloss
