// A flash attention call as the kernels of both kinds take it: sizes, which pairs live, dropout.
#pragma once

#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/ops/attention/attention.h"

namespace isoloss::flash {

/// The shapes of a call, as kernels take them.
struct Sizes {
  int T, H, K, D, window;
  std::int64_t token;  ///< elements of a packed token
  float scale;
};

inline Sizes sizes_of(const AttentionDims& dims) {
  return {static_cast<int>(dims.T),        static_cast<int>(dims.H),      static_cast<int>(dims.K),
          static_cast<int>(dims.D),        static_cast<int>(dims.window), dims.token(),
          static_cast<float>(dims.scale())};
}

/// Dropout on the probabilities; `used` false: there is none.
struct Dropout {
  bool used;
  DropoutMask mask;
  std::int64_t first_sequence;
  const StepState* state;  ///< of the step that a launch is replayed in

  /// The number of a pair of sequence b and head h; four neighbours from a multiple of four on share a block of draws.
  DEVICE std::uint64_t element(const Sizes& sizes, int b, int h, int q, int k) const {
    const std::int64_t head = (first_sequence + b) * sizes.H + h;
    return static_cast<std::uint64_t>((head * sizes.T + q) * sizes.T + k);
  }
  DEVICE PhiloxBlock draws(std::uint64_t block) const {
    return philox(mask.key, static_cast<std::uint64_t>(state->step), block);
  }
  DEVICE bool keep(std::uint64_t element) const {
    const PhiloxBlock block = draws(element / 4);
    const std::uint32_t low = element % 2 == 0 ? block[0] : block[1], high = element % 2 == 0 ? block[2] : block[3];
    return (element % 4 < 2 ? low : high) >= mask.threshold;  // an index known only now would put them in memory
  }
  DEVICE float kept_factor() const { return static_cast<float>(mask.scale); }
  /// 0 or 1 / (1 - p).
  DEVICE float factor(const Sizes& sizes, int b, int h, int q, int k) const {
    return !used ? 1.0f : keep(element(sizes, b, h, q, k)) ? kept_factor() : 0.0f;
  }
};

inline Dropout dropout_of(const OpCall& call, const DeviceContext& context, const AttentionDims& dims) {
  const double p = call.attributes.real("p");
  const DropoutMask mask = p > 0 ? dropout_mask(call.attributes, *context.state) : DropoutMask(0, 0, 0, 0);
  return {p > 0, mask, context.state->micro_batch * dims.B, context.cuda->state};
}

/// Whether a query sees the key that lies `distance` tokens before it.
DEVICE bool sees(const Sizes& sizes, int distance) {
  return distance >= 0 && (sizes.window == 0 || distance < sizes.window);
}
DEVICE int first_key(const Sizes& sizes, int q) {
  return sizes.window > 0 && q >= sizes.window ? q - sizes.window + 1 : 0;
}
DEVICE bool live(const Sizes& sizes, int q, int k) { return q < sizes.T && sees(sizes, q - k); }
/// Whether some pair lives, or every pair, of a rectangle of `queries` from q on and `keys` from k on.
DEVICE bool any_live(const Sizes& sizes, int q, int queries, int k, int keys) {
  return q < sizes.T && k < min(q + queries, sizes.T) && k + keys > first_key(sizes, q);
}
DEVICE bool all_live(const Sizes& sizes, int q, int queries, int k, int keys) {
  return k + keys <= q + 1 && k >= first_key(sizes, q + queries - 1);
}
/// One past the last query that sees key k.
DEVICE int end_of_queries(const Sizes& sizes, int k) {
  return sizes.window > 0 && k + sizes.window < sizes.T ? k + sizes.window : sizes.T;
}

// The kernels on tensor cores, for bf16 and D a multiple of 8.
void forward_mma(DeviceContext& context, const OpCall& call, const AttentionDims& dims);
void backward_mma(DeviceContext& context, const OpCall& call, const AttentionDims& dims);
inline bool takes_mma(const OpCall& call, const AttentionDims& dims) {
  return call.in[0].type.dtype == DType::bf16 && dims.D % 8 == 0;
}

}  // namespace isoloss::flash
