#include "kernels/ops/gating/gating.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/core/reference.h"

namespace isoloss {

using namespace gating_ports;

namespace {

/// probabilities [E] of one token; all NaN when one of its logits is.
template <class T>
std::vector<T> probabilities_of(const GatingSizes& size, const T* logits) {
  std::vector<T> probabilities(logits, logits + size.experts);
  if (std::any_of(probabilities.begin(), probabilities.end(), [](T value) { return std::isnan(value); })) {
    std::fill(probabilities.begin(), probabilities.end(), std::numeric_limits<T>::quiet_NaN());
    return probabilities;
  }
  if (size.sigmoid) {
    for (T& value : probabilities) value = T(1) / (T(1) + std::exp(-value));
    return probabilities;
  }
  const T largest = *std::max_element(probabilities.begin(), probabilities.end());
  T sum = 0;
  for (T& value : probabilities) sum += value = std::exp(value - largest);
  for (T& value : probabilities) value /= sum;
  return probabilities;
}

/// The k experts of one token, largest logit first, the lower index among equals.
template <class T>
void choose(const GatingSizes& size, const T* logits, std::int32_t* experts) {
  std::vector<bool> taken(static_cast<std::size_t>(size.experts));
  const auto key = [&](std::int64_t e) {
    return std::isnan(logits[e]) ? std::numeric_limits<T>::infinity() : logits[e];
  };
  for (std::int64_t j = 0; j < size.choices; ++j) {
    std::int64_t best = -1;
    for (std::int64_t e = 0; e < size.experts; ++e) {
      if (!taken[static_cast<std::size_t>(e)] && (best < 0 || key(e) > key(best))) best = e;
    }
    taken[static_cast<std::size_t>(best)] = true;
    experts[j] = static_cast<std::int32_t>(best);
  }
}

template <class T>
void forward(const OpCall& call) {
  const GatingSizes size(call.in[kLogits].shape(), call.attributes);
  const T* logits = call.in[kLogits].as<T>();  // [N,E]
  T* weights = call.out[kWeights].as<T>();     // [N,k]
  auto* experts = call.out[kExperts].as<std::int32_t>();
  T* mean = call.out[kMeanProbability].as<T>();
  std::fill(mean, mean + size.experts, T(0));
  for (std::int64_t token = 0; token < size.tokens; ++token) {
    const std::vector<T> probabilities = probabilities_of(size, logits + token * size.experts);
    for (std::int64_t e = 0; e < size.experts; ++e) mean[e] += probabilities[static_cast<std::size_t>(e)];
    std::int32_t* const chosen = experts + token * size.choices;
    choose(size, logits + token * size.experts, chosen);
    T sum = 0;
    for (std::int64_t j = 0; j < size.choices; ++j) sum += probabilities[static_cast<std::size_t>(chosen[j])];
    for (std::int64_t j = 0; j < size.choices; ++j) {
      const T probability = probabilities[static_cast<std::size_t>(chosen[j])];
      weights[token * size.choices + j] = size.normalise ? probability / sum : probability;
    }
  }

  auto* counts = call.out[kCounts].as<std::int32_t>();
  auto* offsets = call.out[kOffsets].as<std::int32_t>();
  auto* permutation = call.out[kPermutation].as<std::int32_t>();
  auto* inverse = call.out[kInverse].as<std::int32_t>();
  const std::int64_t slots = size.tokens * size.choices;
  std::int32_t slot = 0;
  for (std::int64_t e = 0; e < size.experts; ++e) {
    offsets[e] = slot;
    for (std::int64_t choice = 0; choice < slots; ++choice) {
      if (experts[choice] != e) continue;
      permutation[slot] = static_cast<std::int32_t>(choice);
      inverse[choice] = slot++;
    }
    counts[e] = slot - offsets[e];
    mean[e] /= static_cast<T>(size.tokens);
    call.out[kTokenFraction].as<T>()[e] = static_cast<T>(counts[e]) / static_cast<T>(slots);
  }
  offsets[size.experts] = slot;
}

template <class T>
void backward(const OpCall& call) {
  const GatingSizes size(call.in[kBackLogits].shape(), call.attributes);
  const T* dmean = call.in[kBackDmean].as<T>();  // [E] or null
  std::vector<T> dprobability(static_cast<std::size_t>(size.experts));
  for (std::int64_t token = 0; token < size.tokens; ++token) {
    const std::vector<T> probability = probabilities_of(size, call.in[kBackLogits].as<T>() + token * size.experts);
    const auto* chosen = call.in[kBackExperts].as<std::int32_t>() + token * size.choices;
    const T* dweights = call.in[kBackDweights].as<T>() + token * size.choices;
    for (std::size_t e = 0; e < dprobability.size(); ++e) {
      dprobability[e] = dmean != nullptr ? dmean[e] / static_cast<T>(size.tokens) : T(0);
    }
    T sum = 0, along = 0;  // of the chosen probabilities; of dweights · weights
    for (std::int64_t j = 0; j < size.choices; ++j) {
      const T p = probability[static_cast<std::size_t>(chosen[j])];
      sum += p, along += dweights[j] * p;
    }
    for (std::int64_t j = 0; j < size.choices; ++j) {
      dprobability[static_cast<std::size_t>(chosen[j])] +=
          size.normalise ? (dweights[j] - along / sum) / sum : dweights[j];
    }
    T centre = 0;
    for (std::size_t e = 0; e < dprobability.size(); ++e) centre += probability[e] * dprobability[e];
    for (std::size_t e = 0; e < dprobability.size(); ++e) {
      const T p = probability[e];
      const T slope = size.sigmoid ? dprobability[e] * p * (T(1) - p) : p * (dprobability[e] - centre);
      store(call.out[kDlogits].as<T>()[token * size.experts + static_cast<std::int64_t>(e)], slope,
            call.mode[kDlogits]);
    }
  }
}

}  // namespace

void gating_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[kLogits], [&]<class T>(T) { forward<T>(call); });
}

void gating_backward_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[kBackLogits], [&]<class T>(T) { backward<T>(call); });
}

}  // namespace isoloss
