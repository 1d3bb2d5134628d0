// Flash attention backward: one task takes a run of key tiles of one query head. It owns their dK and dV and collects
// dQ over its keys; each tile of probabilities is computed again from the scores and the saved lse.
#include <utility>

#include "kernels/base/parallel.h"
#include "kernels/ops/attention/head_gradients.h"
#include "kernels/ops/attention/tiles.h"

namespace isoloss {

using namespace attention;

namespace {

// Every piece beyond one a head packs queries again and adds a pass over dQ; so only very few heads are cut. The cut
// depends on the sizes alone.
constexpr std::int64_t kTasksWanted = 8;

struct Pieces {
  std::int64_t tiles_each, count;

  explicit Pieces(const AttentionDims& dims) {
    const std::int64_t wanted = std::min(tiles(dims.T), (kTasksWanted + dims.B * dims.H - 1) / (dims.B * dims.H));
    tiles_each = (tiles(dims.T) + wanted - 1) / wanted;
    count = (tiles(dims.T) + tiles_each - 1) / tiles_each;
  }
};

/// What one thread needs, cut out of its scratch.
struct Workspace {
  float *queries, *gradients, *query_sums;            // of all queries: Q, dy, dQ, [T, padded(D)] in whole tiles
  float* centres;                                     // of all queries: <dy, y>
  float *keys, *keys_transposed, *values_transposed;  // of one key tile
  float *key_sums, *value_sums;                       // dK, dV of one key tile
  float *weights, *dscores;                           // tiles: P with dropout, dS

  static std::int64_t floats(const AttentionDims& dims) {
    const std::int64_t length = tiles(dims.T) * kTile, width = padded(dims.D);
    return length * (3 * width + 1) + kTile * (3 * width + 2 * dims.D) + 2 * kTile * kTile;
  }
  Workspace(const AttentionDims& dims, float* scratch) {
    const std::int64_t length = tiles(dims.T) * kTile, width = padded(dims.D);
    const auto take = [&](std::int64_t floats) { return std::exchange(scratch, scratch + floats); };
    queries = take(length * width);
    gradients = take(length * width);
    query_sums = take(length * width);
    centres = take(length);
    keys = take(kTile * width);
    key_sums = take(kTile * width);
    value_sums = take(kTile * width);
    keys_transposed = take(kTile * dims.D);
    values_transposed = take(kTile * dims.D);
    weights = take(kTile * kTile);
    dscores = take(kTile * kTile);
  }
};

class FlashBackward {
 public:
  FlashBackward(const DeviceContext& context, const OpCall& call)
      : dims_(call.attributes, call.in[0].shape()),
        dropout_(call.attributes, *context.state, dims_),
        pieces_(dims_),
        qkv_(call.in[0].as<float>()),
        y_(call.in[1].as<float>()),
        lse_(call.in[2].as<float>()),
        dy_(call.in[3].as<float>()),
        gradients_(dims_, pieces_.count, call.out[0].as<float>(), static_cast<float*>(context.scratch.data)) {}

  static std::int64_t floats(const AttentionDims& dims, int threads) {
    return shared_floats(dims) + Workspace::floats(dims) * threads;
  }

  void run(const DeviceContext& context) const {
    float* const scratch = static_cast<float*>(context.scratch.data) + shared_floats(dims_);
    const std::int64_t heads = dims_.B * dims_.H;
    parallel_tasks(heads * pieces_.count, [&](std::int64_t task, int thread) {
      const Workspace work(dims_, scratch + thread * Workspace::floats(dims_));
      keys_of_head(task % heads / dims_.H, task % heads % dims_.H, task / heads, work);
    });
    gradients_.combine();
  }

 private:
  static std::int64_t shared_floats(const AttentionDims& dims) {
    return round_up(HeadGradients::floats(dims, Pieces(dims).count), kVecWidth);
  }

  /// First query beyond those that see a key of the tile.
  std::int64_t last_query(std::int64_t key_tile) const {
    const std::int64_t last_key = std::min((key_tile + 1) * kTile, dims_.T);
    return dims_.window > 0 ? std::min(dims_.T, last_key - 1 + dims_.window) : dims_.T;
  }

  void keys_of_head(std::int64_t b, std::int64_t h, std::int64_t piece, const Workspace& work) const {
    const std::int64_t first = piece * pieces_.tiles_each, last = std::min(first + pieces_.tiles_each, tiles(dims_.T));
    const std::int64_t width = padded(dims_.D);
    pack_queries(b, h, first * kTile, std::min(dims_.T, round_up(last_query(last - 1), kTile)), work);
    for (std::int64_t key_tile = first; key_tile < last; ++key_tile) {
      const Tile keys{dims_, key_tile * kTile, key_tile * kTile};
      pack_keys(b, h, keys, work);
      std::fill(work.key_sums, work.key_sums + kTile * width, 0.0f);
      std::fill(work.value_sums, work.value_sums + kTile * width, 0.0f);
      for (std::int64_t query = keys.key; query < last_query(key_tile); query += kTile) {
        one_tile({dims_, query, keys.key}, b, h, work);
      }
      const auto dk = gradients_.key_rows(b, h), dv = gradients_.value_rows(b, h);
      unpack_rows(work.key_sums, keys.keys(), dims_.D, dk.data + keys.key * dk.stride, dk.stride);
      unpack_rows(work.value_sums, keys.keys(), dims_.D, dv.data + keys.key * dv.stride, dv.stride);
    }
    const auto dq = gradients_.query_rows(b, h, piece);
    unpack_rows(work.query_sums, dims_.T, dims_.D, dq.data, dq.stride);
  }

  /// Q, dy and <dy, y> of the queries first … end - 1, and dQ = 0 for all.
  void pack_queries(std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t end, const Workspace& work) const {
    const std::int64_t width = padded(dims_.D), rows = round_up(end - first, kGroup);
    const std::int64_t head = ((b * dims_.T + first) * dims_.H + h) * dims_.D;
    pack_rows(qkv_ + (b * dims_.T + first) * dims_.token() + dims_.query_at(h), dims_.token(), end - first, dims_.D,
              rows, work.queries + first * width);
    pack_rows(dy_ + head, dims_.H * dims_.D, end - first, dims_.D, rows, work.gradients + first * width);
    std::fill(work.query_sums, work.query_sums + tiles(dims_.T) * kTile * width, 0.0f);
    for (std::int64_t query = first; query < end; ++query) {
      const std::int64_t row = head + (query - first) * dims_.H * dims_.D;
      Vec centre = 0.0f;
      for (std::int64_t d = 0; d < dims_.D; d += kVecWidth) {
        const std::int64_t n = std::min<std::int64_t>(kVecWidth, dims_.D - d);
        centre = fma(Vec::load(dy_ + row + d, n), Vec::load(y_ + row + d, n), centre);
      }
      work.centres[query] = sum(centre);
    }
  }

  void pack_keys(std::int64_t b, std::int64_t h, const Tile& keys, const Workspace& work) const {
    const float* const tokens = qkv_ + (b * dims_.T + keys.key) * dims_.token();
    const float *const key = tokens + dims_.key_at(h / dims_.group()), *const value =
                                                                           tokens + dims_.value_at(h / dims_.group());
    pack_rows(key, dims_.token(), keys.keys(), dims_.D, kTile, work.keys);
    pack_transposed(key, dims_.token(), keys.keys(), dims_.D, work.keys_transposed);
    pack_transposed(value, dims_.token(), keys.keys(), dims_.D, work.values_transposed);
  }

  void one_tile(const Tile& tile, std::int64_t b, std::int64_t h, const Workspace& work) const {
    const std::int64_t at = tile.query * padded(dims_.D);
    multiply_scores(tile, work.queries + at, work.keys_transposed, work.weights);
    multiply_scores(tile, work.gradients + at, work.values_transposed, work.dscores);
    const float* const lse = lse_ + (b * dims_.H + h) * dims_.T + tile.query;
    const bool whole = tile.whole();
    for (std::int64_t row = 0; row < tile.rows(); ++row) {
      if (dropout_.mask) {
        dropped_row(tile, b, h, row, lse[row], work);
      } else {
        plain_row(tile, row, lse[row], work.centres[tile.query + row], work);
      }
      if (whole) continue;
      clear_dead(tile, row, work.weights);
      clear_dead(tile, row, work.dscores);
    }
    add_weighted_queries(tile, work.weights, work.gradients + at, work.value_sums);
    add_weighted_queries(tile, work.dscores, work.queries + at, work.key_sums);
    add_weighted_keys(tile, work.dscores, work.keys, work.query_sums + at);
  }

  /// Scores and dP of a row become P and dS. What is dead holds anything and is cleared afterwards.
  void plain_row(const Tile& tile, std::int64_t row, float lse, float centre, const Workspace& work) const {
    float *const weight = work.weights + row * kTile, *const dscore = work.dscores + row * kTile;
    const Vec scale = static_cast<float>(dims_.scale()), shift = -lse;
    const auto [begin, end] = tile.computed(row);
    for (std::int64_t k = begin; k < end; k += kVecWidth) {
      const Vec p = exp(fma(Vec::load(weight + k), scale, shift));
      p.store(weight + k);
      (p * scale * (Vec::load(dscore + k) - centre)).store(dscore + k);
    }
  }

  /// The same with the factors of dropout on P and dP.
  void dropped_row(const Tile& tile, std::int64_t b, std::int64_t h, std::int64_t row, float lse,
                   const Workspace& work) const {
    alignas(64) float factors[kTile];
    row_factors(dropout_, tile, b, h, row, factors);
    float *const weight = work.weights + row * kTile, *const dscore = work.dscores + row * kTile;
    const Vec scale = static_cast<float>(dims_.scale()), shift = -lse, centre = work.centres[tile.query + row];
    const auto [begin, end] = tile.computed(row);
    for (std::int64_t k = begin; k < end; k += kVecWidth) {
      const Vec p = exp(fma(Vec::load(weight + k), scale, shift)), factor = Vec::load(factors + k);
      (p * factor).store(weight + k);
      (p * scale * (Vec::load(dscore + k) * factor - centre)).store(dscore + k);
    }
  }

  const AttentionDims dims_;
  const AttentionDropout dropout_;
  const Pieces pieces_;
  const float *const qkv_, *const y_, *const lse_, *const dy_;
  const HeadGradients gradients_;
};

}  // namespace

void attention_flash_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return attention_flash_backward_ref(context, call);
  FlashBackward(context, call).run(context);
}

std::size_t attention_flash_backward_cpu_scratch(const AttentionDims& dims, int threads) {
  return static_cast<std::size_t>(FlashBackward::floats(dims, threads)) * sizeof(float);
}

}  // namespace isoloss
