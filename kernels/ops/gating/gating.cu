// Gating on a GPU in three launches: a warp a token chooses and counts (gate_tokens), one block adds the chunks up and
// scans (scan_chunks), a block a chunk gives every choice its slot (scatter_choices). Counts are integers and sums are
// taken in a fixed order, so every run gives the same bits.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/sort.cuh"
#include "kernels/ops/gating/gating.h"

namespace isoloss {

using namespace gating_ports;

namespace {

constexpr int kGateWarps = 8;
constexpr int kExpertSlots = static_cast<int>(kMostExperts);
constexpr int kLaneExperts = kExpertSlots / kWarp;  // lane l holds the experts l, l + 32, …
constexpr int kChoices = static_cast<int>(kMostChoices);
constexpr int kTokenChunk = static_cast<int>(kGatingChunk);
static_assert(kExpertSlots == kSortKeys);

struct GatingShape {
  std::int64_t tokens;
  int experts, choices;
  bool sigmoid, normalise;

  explicit GatingShape(const GatingSizes& size)
      : tokens(size.tokens),
        experts(static_cast<int>(size.experts)),
        choices(static_cast<int>(size.choices)),
        sigmoid(size.sigmoid),
        normalise(size.normalise) {}
};

/// The logits of a warp's token; -inf where there is no expert.
template <class T>
DEVICE void load_logits(const GatingShape& shape, const T* row, float (&logit)[kLaneExperts]) {
  UNROLL for (int i = 0; i < kLaneExperts; ++i) {
    const int e = static_cast<int>(threadIdx.x) + i * kWarp;
    logit[i] = e < shape.experts ? to_float(row[e]) : -INFINITY;
  }
}

/// The probabilities of a warp's token, 0 where there is no expert; all NaN when one of its logits is.
DEVICE void probabilities_of(const GatingShape& shape, const float (&logit)[kLaneExperts],
                             float (&probability)[kLaneExperts]) {
  float largest = logit[0];
  UNROLL for (int i = 1; i < kLaneExperts; ++i) largest = nan_max(largest, logit[i]);
  largest = warp_max(largest);
  const bool lost = largest != largest;
  float sum = 0;
  UNROLL for (int i = 0; i < kLaneExperts; ++i) {
    const bool exists = static_cast<int>(threadIdx.x) + i * kWarp < shape.experts;
    const float value = shape.sigmoid ? 1.0f / (1.0f + expf(-logit[i])) : expf(logit[i] - largest);
    probability[i] = !exists ? 0.0f : lost ? largest : value;
    sum += probability[i];
  }
  if (shape.sigmoid) return;
  sum = warp_sum(sum);
  UNROLL for (int i = 0; i < kLaneExperts; ++i) probability[i] /= sum;
}

/// The probability of expert e, from the lane that holds it; the same e in all lanes.
DEVICE float held(const float (&value)[kLaneExperts], int e) {
  float mine = 0;
  UNROLL for (int i = 0; i < kLaneExperts; ++i) mine = i == e / kWarp ? value[i] : mine;
  return __shfl_sync(kWholeWarp, mine, e % kWarp);
}

/// The expert with the largest logit that `taken` (a bit for each of the lane's experts) leaves; the lower among
/// equals.
DEVICE int best_expert(const GatingShape& shape, const float (&logit)[kLaneExperts], unsigned taken) {
  float best = -INFINITY;
  int expert = kExpertSlots;  // after every expert that exists
  UNROLL for (int i = 0; i < kLaneExperts; ++i) {
    const int e = static_cast<int>(threadIdx.x) + i * kWarp;
    const float key = logit[i] != logit[i] ? INFINITY : logit[i];
    const bool open = e < shape.experts && (taken >> i & 1u) == 0;
    if (open && (expert == kExpertSlots || key > best)) best = key, expert = e;
  }
  UNROLL for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, best, step);
    const int candidate = __shfl_xor_sync(kWholeWarp, expert, step);
    if (other > best || (other == best && candidate < expert)) best = other, expert = candidate;
  }
  return expert;
}

/// Weights and experts of a chunk of tokens, and its partial_counts and partial_sums of probabilities [chunks,E].
template <class T>
__global__ void __launch_bounds__(kWarp* kGateWarps)
    gate_tokens(GatingShape shape, const T* logits, float* weights, std::int32_t* experts, std::int32_t* partial_counts,
                float* partial_sums) {
  SHARED(int, counts, [kExpertSlots]);
  SHARED(float, sums, [kGateWarps][kExpertSlots]);
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y);
  const int thread = warp * kWarp + lane;
  counts[thread] = 0;
  __syncthreads();
  const std::int64_t first = std::int64_t{blockIdx.x} * kTokenChunk;
  float sum[kLaneExperts] = {};
  for (std::int64_t token = first + warp; token < first + kTokenChunk && token < shape.tokens; token += kGateWarps) {
    float logit[kLaneExperts], probability[kLaneExperts];
    load_logits(shape, logits + token * shape.experts, logit);
    probabilities_of(shape, logit, probability);
    UNROLL for (int i = 0; i < kLaneExperts; ++i) sum[i] += probability[i];
    unsigned taken = 0;
    float total = 0, weight = 0;  // lane j keeps the weight and the expert of choice j
    int expert = 0;
    for (int j = 0; j < shape.choices; ++j) {
      const int best = best_expert(shape, logit, taken);
      const float p = held(probability, best);
      if (best % kWarp == lane) taken |= 1u << best / kWarp;
      if (lane == j) weight = p, expert = best;
      total += p;
    }
    if (lane < shape.choices) {
      const std::int64_t choice = token * shape.choices + lane;
      weights[choice] = shape.normalise ? weight / total : weight;
      experts[choice] = expert;
      atomicAdd(&counts[expert], 1);  // of integers: the order changes nothing
    }
  }
  UNROLL for (int i = 0; i < kLaneExperts; ++i) sums[warp][lane + i * kWarp] = sum[i];
  __syncthreads();
  if (thread >= shape.experts) return;
  float all = 0;
  UNROLL for (int other = 0; other < kGateWarps; ++other) all += sums[other][thread];
  partial_counts[std::int64_t{blockIdx.x} * shape.experts + thread] = counts[thread];
  partial_sums[std::int64_t{blockIdx.x} * shape.experts + thread] = all;
}

/// One block, a thread an expert. counts, offsets and the statistics; `bases` [chunks,E] turns from the counts of every
/// chunk into the first slot of its choices.
__global__ void __launch_bounds__(kExpertSlots)
    scan_chunks(GatingShape shape, int chunks, std::int32_t* bases, const float* partial_sums, std::int32_t* counts,
                std::int32_t* offsets, float* mean_probability, float* token_fraction) {
  const KeySlots slots = first_slots(bases, chunks, shape.experts);
  const int e = static_cast<int>(threadIdx.x);
  if (e >= shape.experts) return;
  float sum = 0;
  UNROLL_BY(8) for (int chunk = 0; chunk < chunks; ++chunk) sum += partial_sums[chunk * shape.experts + e];
  counts[e] = slots.count;
  offsets[e] = slots.first;
  if (e == shape.experts - 1) offsets[shape.experts] = slots.first + slots.count;
  mean_probability[e] = sum / static_cast<float>(shape.tokens);
  token_fraction[e] =
      static_cast<float>(slots.count) / (static_cast<float>(shape.tokens) * static_cast<float>(shape.choices));
}

/// A block a chunk, a thread an expert: gives the choices of its expert the next slots.
__global__ void __launch_bounds__(kExpertSlots)
    scatter_choices(GatingShape shape, const std::int32_t* experts, const std::int32_t* bases,
                    std::int32_t* permutation, std::int32_t* inverse) {
  SHARED(int, chosen, [kTokenChunk * kChoices]);
  const int e = static_cast<int>(threadIdx.x);
  const std::int64_t first = std::int64_t{blockIdx.x} * kTokenChunk * shape.choices;
  const std::int64_t left = shape.tokens * shape.choices - first;
  const int here = static_cast<int>(left < kTokenChunk * shape.choices ? left : kTokenChunk * shape.choices);
  for (int i = e; i < here; i += kExpertSlots) chosen[i] = experts[first + i];
  __syncthreads();
  if (e >= shape.experts) return;
  place_in_order(chosen, here, bases[std::int64_t{blockIdx.x} * shape.experts + e], [&](int i, int slot) {
    permutation[slot] = static_cast<int>(first) + i;
    inverse[first + i] = slot;
  });
}

/// dlogits [N,E], a warp a token.
template <class T>
__global__ void __launch_bounds__(kWarp* kGateWarps)
    gate_gradient(GatingShape shape, const T* logits, const std::int32_t* experts, const float* dweights,
                  const float* dmean, T* dlogits, bool accumulate) {
  const int lane = static_cast<int>(threadIdx.x);
  const std::int64_t token = std::int64_t{blockIdx.x} * kGateWarps + threadIdx.y;
  if (token >= shape.tokens) return;  // the whole warp
  float logit[kLaneExperts], probability[kLaneExperts], slope[kLaneExperts];
  load_logits(shape, logits + token * shape.experts, logit);
  probabilities_of(shape, logit, probability);
  UNROLL for (int i = 0; i < kLaneExperts; ++i) {
    const int e = lane + i * kWarp;
    slope[i] = dmean != nullptr && e < shape.experts ? dmean[e] / static_cast<float>(shape.tokens) : 0.0f;
  }
  const std::int64_t choice = token * shape.choices;
  float sum = 0, along = 0;  // of the chosen probabilities; of dweights · probability
  for (int j = 0; j < shape.choices; ++j) {
    const float p = held(probability, experts[choice + j]);
    sum += p, along += dweights[choice + j] * p;
  }
  for (int j = 0; j < shape.choices; ++j) {
    const int e = experts[choice + j];
    const float d = dweights[choice + j];
    const float added = shape.normalise ? (d - along / sum) / sum : d;
    UNROLL for (int i = 0; i < kLaneExperts; ++i) slope[i] += e == lane + i * kWarp ? added : 0.0f;
  }
  float centre = 0;
  UNROLL for (int i = 0; i < kLaneExperts; ++i) centre += probability[i] * slope[i];
  centre = warp_sum(centre);
  UNROLL for (int i = 0; i < kLaneExperts; ++i) {
    const int e = lane + i * kWarp;
    const float p = probability[i];
    const float d = shape.sigmoid ? slope[i] * p * (1.0f - p) : p * (slope[i] - centre);
    if (e < shape.experts) put(dlogits + token * shape.experts + e, d, accumulate);
  }
}

}  // namespace

void gating_cuda(DeviceContext& context, const OpCall& call) {
  const GatingSizes size(call.in[kLogits].shape(), call.attributes);
  const GatingShape shape(size);
  const auto chunks = static_cast<unsigned>(size.chunks());
  auto* const bases = static_cast<std::int32_t*>(context.scratch.data);  // [chunks,E]
  auto* const sums = reinterpret_cast<float*>(bases + size.chunks() * size.experts);
  auto* const experts = call.out[kExperts].as<std::int32_t>();
  with_real(call.in[kLogits].type.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(context, gate_tokens<T>, dim3(chunks), dim3(kWarp, kGateWarps), 0, shape, call.in[kLogits].as<T>(),
           call.out[kWeights].as<float>(), experts, bases, sums);
  });
  launch(context, scan_chunks, dim3(1), dim3(kExpertSlots), 0, shape, static_cast<int>(size.chunks()), bases, sums,
         call.out[kCounts].as<std::int32_t>(), call.out[kOffsets].as<std::int32_t>(),
         call.out[kMeanProbability].as<float>(), call.out[kTokenFraction].as<float>());
  launch(context, scatter_choices, dim3(chunks), dim3(kExpertSlots), 0, shape, experts, bases,
         call.out[kPermutation].as<std::int32_t>(), call.out[kInverse].as<std::int32_t>());
}

void gating_backward_cuda(DeviceContext& context, const OpCall& call) {
  const GatingSizes size(call.in[kBackLogits].shape(), call.attributes);
  with_real(call.in[kBackLogits].type.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(context, gate_gradient<T>, dim3(static_cast<unsigned>(blocks_for(size.tokens, kGateWarps))),
           dim3(kWarp, kGateWarps), 0, GatingShape(size), call.in[kBackLogits].as<T>(),
           call.in[kBackExperts].as<std::int32_t>(), call.in[kBackDweights].as<float>(),
           call.in[kBackDmean].as<float>(), call.out[kDlogits].as<T>(), call.mode[kDlogits] == Mode::accumulate);
  });
}

}  // namespace isoloss
