#include "kernels/ops/dropout/dropout.h"

#include <algorithm>

#include "kernels/base/parallel.h"
#include "kernels/cpu/vec_dropout.h"

namespace isoloss {

namespace {

constexpr std::int64_t kChunk = 16 * kDropoutGroup;  // factors of a chunk stay in the first-level cache

/// Applies the mask to n elements whose first is number `element` of the step.
template <bool accumulate>
void apply(const DropoutMask& mask, std::uint64_t element, std::int64_t n, const float* x, float* y) {
  alignas(64) float factors[kChunk];
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t size = std::min(kChunk, n - begin);
    dropout_factors(mask, element + static_cast<std::uint64_t>(begin), size, factors);
    for (std::int64_t i = 0; i < size; i += kVecWidth) {
      const std::int64_t lanes = std::min<std::int64_t>(kVecWidth, size - i);
      const Vec product = Vec::load(x + begin + i, lanes) * Vec::load(factors + i, lanes);
      (accumulate ? product + Vec::load(y + begin + i, lanes) : product).store(y + begin + i, lanes);
    }
  }
}

}  // namespace

void dropout_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return dropout_ref(context, call);
  const DropoutMask mask = dropout_mask(call.attributes, *context.state);
  const float* x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  const std::int64_t count = call.in[0].count(), first = context.state->micro_batch * count;
  const bool accumulate = call.mode[0] == Mode::accumulate;
  parallel_for(count, 4 * kChunk, [&](std::int64_t begin, std::int64_t end) {
    const auto element = static_cast<std::uint64_t>(first + begin);
    (accumulate ? apply<true> : apply<false>)(mask, element, end - begin, x + begin, y + begin);
  });
}

}  // namespace isoloss
