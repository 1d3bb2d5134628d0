// Tiles of queries, keys and values in shared memory, for the flash attention kernels that compute in float32.
//
// A block of 128 threads owns 32 rows (queries, or keys in the backward pass of keys and values) and walks over tiles
// of 32 others. Four neighbouring lanes share a row: for products of rows each takes every fourth partner, for sums
// over partners every fourth column. So rows never leave their warp, and what a row needs is exchanged by shuffles.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/core/dispatch.cuh"
#include "kernels/core/launch.cuh"
#include "kernels/core/reduce.cuh"

namespace isoloss::flash {

inline constexpr int kTile = 32, kThreads = 128, kLanes = 4;

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

  /// 0 or 1 / (1 - p) for a pair of sequence b and head h.
  DEVICE float factor(const Sizes& sizes, int b, int h, int q, int k) const {
    if (!used) return 1.0f;
    const std::int64_t head = (first_sequence + b) * sizes.H + h;
    const auto element = static_cast<std::uint64_t>((head * sizes.T + q) * sizes.T + k);
    const PhiloxBlock draws = philox(mask.key, static_cast<std::uint64_t>(state->step), element / 4);
    return draws[element % 4] >= mask.threshold ? static_cast<float>(mask.scale) : 0.0f;
  }
};

inline Dropout dropout_of(const OpCall& call, const DeviceContext& context, const AttentionDims& dims) {
  const double p = call.attributes.real("p");
  const DropoutMask mask = p > 0 ? dropout_mask(call.attributes, *context.state) : DropoutMask(0, 0, 0, 0);
  return {p > 0, mask, context.state->micro_batch * dims.B, context.cuda->state};
}

DEVICE int first_key(const Sizes& sizes, int q) {
  return sizes.window > 0 && q >= sizes.window ? q - sizes.window + 1 : 0;
}
DEVICE bool live(const Sizes& sizes, int q, int k) { return q < sizes.T && k <= q && k >= first_key(sizes, q); }
/// One past the last query that sees key k.
DEVICE int end_of_queries(const Sizes& sizes, int k) {
  return sizes.window > 0 && k + sizes.window < sizes.T ? k + sizes.window : sizes.T;
}

/// A tile of rows in shared memory; a row is padded by one float, so that the same column of 32 rows lies in 32 banks.
template <int width>
struct Tile {
  float* rows;
  static constexpr int kFloats = kTile * (width + 1);
  DEVICE float* row(int r) const { return rows + r * (width + 1); }

  /// Rows first … first + 31 of a matrix whose rows lie `step` elements apart; zeros beyond row `end` and column D.
  template <class T>
  DEVICE void load(const T* from, std::int64_t step, int first, int end, int D) const {
    for (int i = static_cast<int>(threadIdx.x); i < kTile * width; i += kThreads) {
      const int r = i / width, c = i % width;
      row(r)[c] = first + r < end && c < D ? to_float(from[(first + r) * step + c]) : 0.0f;
    }
  }
};

template <int width>
DEVICE float dot(const float* a, const float* b) {
  float sum = 0;
  UNROLL for (int c = 0; c < width; ++c) sum += a[c] * b[c];
  return sum;
}

/// The smallest compiled width that holds heads of D columns; an error where there is none.
template <class Body>
void with_width(const char* op, std::int64_t D, Body&& body) {
  expect(D <= 128, op, "a head width of at most 128 on cuda", std::to_string(D));
  if (D <= 32) return body(std::integral_constant<int, 32>{});
  if (D <= 64) return body(std::integral_constant<int, 64>{});
  body(std::integral_constant<int, 128>{});
}

}  // namespace isoloss::flash
