// Naive attention: all scores of a query tile, then their softmax, then the weighted values; the probabilities of the
// whole text stand in memory for the backward pass. Products and packing are those of the flash version, so what
// differs is what the method differs in: memory traffic.
#include <limits>

#include "kernels/ops/attention/head_gradients.h"
#include "kernels/ops/attention/query_tiles.h"

namespace isoloss {

using namespace attention;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kScores = kTile * kTile;

/// Dead scores of a row, computed or not, become -infinity.
void hide_dead(const Tile& tile, std::int64_t row, float* scores) {
  const Columns live = tile.live(row);
  std::fill(scores, scores + live.begin, -kInfinity);
  std::fill(scores + live.end, scores + kTile, -kInfinity);
}

/// Softmax of one row that is spread over `count` score tiles, kScores apart.
void softmax_row(float* row, std::int64_t count, float scale) {
  Vec most = -kInfinity;  // a NaN need not show here: its exponential is NaN
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t k = 0; k < kTile; k += kVecWidth) most = max_number(most, Vec::load(row + i * kScores + k));
  }
  const Vec shift = -scale * max_number_lane(most);
  Vec total = 0.0f;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t k = 0; k < kTile; k += kVecWidth) {
      const Vec exponential = exp(fma(Vec::load(row + i * kScores + k), scale, shift));
      exponential.store(row + i * kScores + k);
      total += exponential;
    }
  }
  const float normalise = 1 / sum(total);
  for (std::int64_t i = 0; i < count; ++i) multiply_row(normalise, row + i * kScores, kTile);
}

/// The row of the query in probabilities [T]: what the tiles hold, and zeros where there is no tile.
void save_row(const QueryTile& query, const float* row, std::int64_t T, float* probabilities) {
  const std::int64_t first = query.first_key_tile * kTile, last = std::min(T, first + query.keys * kTile);
  std::fill(probabilities, probabilities + first, 0.0f);
  for (std::int64_t key = first; key < last; key += kTile, row += kScores) {
    std::copy(row, row + std::min(kTile, last - key), probabilities + key);
  }
  std::fill(probabilities + last, probabilities + T, 0.0f);
}

/// What a thread of the backward pass needs, cut out of its scratch.
struct Workspace {
  float *keys, *values_transposed, *key_sums, *value_sums;  // of all keys
  float *queries, *gradients, *query_sums;                  // of one query tile
  float *weights, *dscores;                                 // of one query tile and all key tiles

  static std::int64_t floats(const AttentionDims& dims) {
    const std::int64_t length = tiles(dims.T) * kTile, width = padded(dims.D);
    return length * (3 * width + dims.D) + 3 * kTile * width + 2 * tiles(dims.T) * kScores;
  }
  Workspace(const AttentionDims& dims, float* scratch) {
    const std::int64_t length = tiles(dims.T) * kTile, width = padded(dims.D);
    const auto take = [&](std::int64_t count) { return std::exchange(scratch, scratch + count); };
    keys = take(length * width);
    key_sums = take(length * width);
    value_sums = take(length * width);
    values_transposed = take(length * dims.D);
    queries = take(kTile * width);
    gradients = take(kTile * width);
    query_sums = take(kTile * width);
    weights = take(tiles(dims.T) * kScores);
    dscores = take(tiles(dims.T) * kScores);
  }
};

/// A task takes one query head.
class NaiveBackward {
 public:
  NaiveBackward(const DeviceContext& context, const OpCall& call)
      : dims_(call.attributes, call.in[0].shape()),
        dropout_(call.attributes, *context.state, dims_),
        qkv_(call.in[0].as<float>()),
        probabilities_(call.in[1].as<float>()),
        dy_(call.in[2].as<float>()),
        gradients_(dims_, 1, call.out[0].as<float>(), static_cast<float*>(context.scratch.data)) {}

  static std::int64_t floats(const AttentionDims& dims, int threads) {
    return shared_floats(dims) + Workspace::floats(dims) * threads;
  }

  void run(const DeviceContext& context) const {
    float* const scratch = static_cast<float*>(context.scratch.data) + shared_floats(dims_);
    parallel_tasks(dims_.B * dims_.H, [&](std::int64_t task, int thread) {
      one_head(task / dims_.H, task % dims_.H, Workspace(dims_, scratch + thread * Workspace::floats(dims_)));
    });
    gradients_.combine();
  }

 private:
  static std::int64_t shared_floats(const AttentionDims& dims) {
    return round_up(HeadGradients::floats(dims, 1), kVecWidth);
  }

  void one_head(std::int64_t b, std::int64_t h, const Workspace& work) const {
    const std::int64_t width = padded(dims_.D), length = tiles(dims_.T) * kTile, kv = h / dims_.group();
    const float* const tokens = qkv_ + b * dims_.T * dims_.token();
    pack_rows(tokens + dims_.key_at(kv), dims_.token(), dims_.T, dims_.D, length, work.keys);
    for (std::int64_t key = 0; key < dims_.T; key += kTile) {
      pack_transposed(tokens + key * dims_.token() + dims_.value_at(kv), dims_.token(), std::min(kTile, dims_.T - key),
                      dims_.D, work.values_transposed + key * dims_.D);
    }
    std::fill(work.key_sums, work.key_sums + length * width, 0.0f);
    std::fill(work.value_sums, work.value_sums + length * width, 0.0f);
    for (std::int64_t query = 0; query < dims_.T; query += kTile) query_tile(b, h, query, work);
    const auto dk = gradients_.key_rows(b, h), dv = gradients_.value_rows(b, h);
    unpack_rows(work.key_sums, dims_.T, dims_.D, dk.data, dk.stride);
    unpack_rows(work.value_sums, dims_.T, dims_.D, dv.data, dv.stride);
  }

  void query_tile(std::int64_t b, std::int64_t h, std::int64_t query, const Workspace& work) const {
    const std::int64_t width = padded(dims_.D), rows = std::min(kTile, dims_.T - query);
    const std::int64_t first = dims_.first_key(query) / kTile, count = query / kTile + 1 - first;
    pack_rows(qkv_ + (b * dims_.T + query) * dims_.token() + dims_.query_at(h), dims_.token(), rows, dims_.D,
              round_up(rows, kGroup), work.queries);
    pack_rows(dy_ + ((b * dims_.T + query) * dims_.H + h) * dims_.D, dims_.H * dims_.D, rows, dims_.D,
              round_up(rows, kGroup), work.gradients);
    std::fill(work.query_sums, work.query_sums + kTile * width, 0.0f);
    const auto tile = [&](std::int64_t i) { return Tile{dims_, query, (first + i) * kTile}; };
    for (std::int64_t i = 0; i < count; ++i) {
      multiply_scores(tile(i), work.gradients, work.values_transposed + tile(i).key * dims_.D,
                      work.dscores + i * kScores);
      load_weights(tile(i), b, h, work.weights + i * kScores, work.dscores + i * kScores);
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      score_gradients(work.weights + row * kTile, work.dscores + row * kTile, count);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = tile(i).key * width;
      float *const weights = work.weights + i * kScores, *const dscores = work.dscores + i * kScores;
      add_weighted_queries(tile(i), dscores, work.queries, work.key_sums + at);
      add_weighted_keys(tile(i), dscores, work.keys + at, work.query_sums);
      if (dropout_.mask) drop(dropout_, tile(i), b, h, weights);
      add_weighted_queries(tile(i), weights, work.gradients, work.value_sums + at);
    }
    const auto dq = gradients_.query_rows(b, h, 0);
    unpack_rows(work.query_sums, rows, dims_.D, dq.data + query * dq.stride, dq.stride);
  }

  /// The saved probabilities of a tile; gradients of dead pairs become 0, those of dropped ones too.
  void load_weights(const Tile& tile, std::int64_t b, std::int64_t h, float* weights, float* dweights) const {
    const float* from = probabilities_ + ((b * dims_.H + h) * dims_.T + tile.query) * dims_.T + tile.key;
    for (std::int64_t row = 0; row < tile.rows(); ++row, from += dims_.T) {
      std::copy(from, from + tile.keys(), weights + row * kTile);
      if (tile.whole()) continue;
      clear_dead(tile, row, weights);
      clear_dead(tile, row, dweights);
    }
    if (dropout_.mask) drop(dropout_, tile, b, h, dweights);
  }

  /// dP of a row becomes dS = scale · P · (dP - <P, dP>).
  void score_gradients(const float* weights, float* dweights, std::int64_t count) const {
    Vec centre_lanes = 0.0f;
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t k = i * kScores; k < i * kScores + kTile; k += kVecWidth) {
        centre_lanes = fma(Vec::load(weights + k), Vec::load(dweights + k), centre_lanes);
      }
    }
    const Vec centre = sum(centre_lanes), scale = static_cast<float>(dims_.scale());
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t k = i * kScores; k < i * kScores + kTile; k += kVecWidth) {
        (Vec::load(weights + k) * scale * (Vec::load(dweights + k) - centre)).store(dweights + k);
      }
    }
  }

  const AttentionDims dims_;
  const AttentionDropout dropout_;
  const float *const qkv_, *const probabilities_, *const dy_;
  const HeadGradients gradients_;
};

QueryTiles forward_tiles(const AttentionDims& dims) { return {dims, tiles(dims.T) * kScores}; }

}  // namespace

void attention_naive_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return attention_naive_ref(context, call);
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const AttentionDropout dropout(call.attributes, *context.state, dims);
  float* const probabilities = call.mode[1] == Mode::skip ? nullptr : call.out[1].as<float>();
  forward_tiles(dims).run(context, call.in[0].as<float>(), call.out[0].as<float>(), [&](const QueryTile& query) {
    for (std::int64_t i = 0; i < query.keys; ++i) {
      const Tile tile = query.tile(dims, i);
      float* const scores = query.own + i * kScores;
      multiply_scores(tile, query.packed_queries, query.key_tile(dims, i), scores);
      if (tile.whole()) continue;
      for (std::int64_t row = 0; row < tile.rows(); ++row) hide_dead(tile, row, scores + row * kTile);
    }
    for (std::int64_t row = 0; row < query.rows; ++row) {
      softmax_row(query.own + row * kTile, query.keys, static_cast<float>(dims.scale()));
      if (probabilities == nullptr) continue;
      save_row(query, query.own + row * kTile, dims.T,
               probabilities + ((query.b * dims.H + query.h) * dims.T + query.query + row) * dims.T);
    }
    for (std::int64_t i = 0; i < query.keys; ++i) {
      const Tile tile = query.tile(dims, i);
      if (dropout.mask) drop(dropout, tile, query.b, query.h, query.own + i * kScores);
      add_weighted_keys(tile, query.own + i * kScores, query.value_tile(dims, i), query.sums);
    }
  });
}

void attention_naive_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return attention_naive_backward_ref(context, call);
  NaiveBackward(context, call).run(context);
}

std::size_t attention_naive_cpu_scratch(const AttentionDims& dims, int threads) {
  return forward_tiles(dims).scratch_bytes(threads);
}

std::size_t attention_naive_backward_cpu_scratch(const AttentionDims& dims, int threads) {
  return static_cast<std::size_t>(NaiveBackward::floats(dims, threads)) * sizeof(float);
}

}  // namespace isoloss
