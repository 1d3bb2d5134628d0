// Flash attention forward: every query tile walks its key tiles with an online softmax.
#include <limits>

#include "kernels/ops/attention/query_tiles.h"

namespace isoloss {

using namespace attention;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Running softmax of the rows of a query tile: the largest scaled score so far and the sum of exponentials relative to
/// it. A NaN score need not show in `largest`: its exponential is NaN, and with it the sum and the output.
class RunningSoftmax {
 public:
  explicit RunningSoftmax(double scale) : scale_(static_cast<float>(scale)) {
    std::fill(largest_, largest_ + kTile, -kInfinity);
    std::fill(sum_, sum_ + kTile, 0.0f);
  }

  /// Scores of a tile become exponentials, dead ones 0; earlier sums [·, width] are rescaled to the new maximum.
  void step(const Tile& tile, float* scores, float* sums, std::int64_t width) {
    alignas(64) float largest_now[kTile], rescale[kTile];
    find_largest(tile, scores, largest_now);
    for (std::int64_t row = 0; row < kTile; row += kVecWidth) {
      const Vec before = Vec::load(largest_ + row), now = Vec::load(largest_now + row);
      // Rows without a live key so far stay at -infinity, where the difference would be NaN.
      const Vec factor = select(before == now, 1.0f, exp(before - now));
      factor.store(rescale + row);
      now.store(largest_ + row);
      (Vec::load(sum_ + row) * factor).store(sum_ + row);
    }
    for (std::int64_t row = 0; row < tile.rows(); ++row) {
      if (rescale[row] != 1) multiply_row(rescale[row], sums + row * width, width);
      const auto [begin, end] = tile.computed(row);
      const Columns live = tile.live(row);
      if (live.begin < live.end) {
        sum_[row] += exponentials(scores + row * kTile + begin, end - begin, -largest_[row]);
      } else if (begin < end) {
        std::fill(scores + row * kTile + begin, scores + row * kTile + end, 0.0f);
      }
    }
  }

  float sum(std::int64_t row) const { return sum_[row]; }

  /// Logarithm of the sum of exponentials of the first `rows` rows.
  void store_lse(float* lse, std::int64_t rows) const {
    for (std::int64_t row = 0; row < rows; row += kVecWidth) {
      const Vec value = Vec::load(largest_ + row) + log(Vec::load(sum_ + row));
      value.store(lse + row, std::min<std::int64_t>(kVecWidth, rows - row));
    }
  }

 private:
  /// The largest scores including this tile's; its dead scores become -infinity.
  void find_largest(const Tile& tile, float* scores, float* largest_now) const {
    std::copy(largest_, largest_ + kTile, largest_now);
    const bool whole = tile.whole();
    for (std::int64_t row = 0; row < tile.rows(); ++row) {
      if (!whole) fill_dead(tile, row, -kInfinity, scores);
      const auto [begin, end] = tile.computed(row);
      Vec most = -kInfinity;
      for (std::int64_t k = begin; k < end; k += kVecWidth)
        most = max_number(most, Vec::load(scores + row * kTile + k));
      const float row_largest = scale_ * max_number_lane(most);
      if (row_largest > largest_now[row]) largest_now[row] = row_largest;
    }
  }

  float exponentials(float* scores, std::int64_t n, float shift) const {
    Vec row_sum = 0.0f;
    for (std::int64_t k = 0; k < n; k += kVecWidth) {
      const Vec exponential = exp(fma(Vec::load(scores + k), scale_, shift));
      exponential.store(scores + k);
      row_sum += exponential;
    }
    return isoloss::sum(row_sum);
  }

  const float scale_;
  alignas(64) float largest_[kTile];
  alignas(64) float sum_[kTile];
};

constexpr std::int64_t kScores = kTile * kTile;

}  // namespace

void attention_flash_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return attention_flash_ref(context, call);
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const AttentionDropout dropout(call.attributes, *context.state, dims);
  const std::int64_t width = padded(dims.D);
  float* const lse = call.mode[1] == Mode::skip ? nullptr : call.out[1].as<float>();
  QueryTiles(dims, kScores).run(context, call.in[0].as<float>(), call.out[0].as<float>(), [&](const QueryTile& query) {
    RunningSoftmax softmax(dims.scale());
    for (std::int64_t i = 0; i < query.keys; ++i) {
      const Tile tile = query.tile(dims, i);
      multiply_scores(tile, query.packed_queries, query.key_tile(dims, i), query.own);
      softmax.step(tile, query.own, query.sums, width);
      if (dropout.mask) drop(dropout, tile, query.b, query.h, query.own);
      add_weighted_keys(tile, query.own, query.value_tile(dims, i), query.sums);
    }
    for (std::int64_t row = 0; row < query.rows; ++row) {
      multiply_row(1 / softmax.sum(row), query.sums + row * width, width);
    }
    if (lse != nullptr) softmax.store_lse(lse + (query.b * dims.H + query.h) * dims.T + query.query, query.rows);
  });
}

std::size_t attention_flash_cpu_scratch(const AttentionDims& dims, int threads) {
  return QueryTiles(dims, kScores).scratch_bytes(threads);
}

}  // namespace isoloss
