// The outer loop of the fast forward versions: heads and query tiles over the threads, keys and values packed once for
// a run of query tiles.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/base/parallel.h"
#include "kernels/ops/attention/tiles.h"

namespace isoloss::attention {

/// One query tile of one head and everything packed that it needs.
struct QueryTile {
  std::int64_t b, h, query, rows;     ///< first query and number of queries
  std::int64_t first_key_tile, keys;  ///< tiles first_key_tile … first_key_tile + keys - 1 have live keys
  const float *packed_queries, *packed_keys, *packed_values;
  float* sums;  ///< [kTile, padded(D)], zero; what `f` leaves there becomes the rows of y
  float* own;   ///< the floats that the caller asked for

  Tile tile(const AttentionDims& dims, std::int64_t i) const { return {dims, query, (first_key_tile + i) * kTile}; }
  /// [D, kTile], for multiply_scores.
  const float* key_tile(const AttentionDims& dims, std::int64_t i) const {
    return packed_keys + (first_key_tile + i) * kTile * dims.D;
  }
  /// [kTile, padded(D)], for add_weighted_keys.
  const float* value_tile(const AttentionDims& dims, std::int64_t i) const {
    return packed_values + (first_key_tile + i) * kTile * padded(dims.D);
  }
};

class QueryTiles {
 public:
  QueryTiles(const AttentionDims& dims, std::int64_t own_floats) : dims_(dims), own_floats_(own_floats) {
    const std::int64_t pieces = std::min(tiles(dims.T), (kTasksWanted + dims.B * dims.H - 1) / (dims.B * dims.H));
    tiles_each_ = (tiles(dims.T) + pieces - 1) / pieces;
  }

  std::size_t scratch_bytes(int threads) const { return static_cast<std::size_t>(floats() * threads) * sizeof(float); }

  /// f(const QueryTile&) for every head and query tile.
  template <class F>
  void run(const DeviceContext& context, const float* qkv, float* y, const F& f) const {
    const std::int64_t heads = dims_.B * dims_.H, pieces = (tiles(dims_.T) + tiles_each_ - 1) / tiles_each_;
    parallel_tasks(heads * pieces, [&](std::int64_t task, int thread) {
      const std::int64_t piece = pieces - 1 - task / heads;  // the longest first, so that the threads end together
      const std::int64_t b = task % heads / dims_.H, h = task % heads % dims_.H;
      const Buffers buffers = cut(static_cast<float*>(context.scratch.data) + thread * floats());
      const std::int64_t first = piece * tiles_each_, last = std::min(first + tiles_each_, tiles(dims_.T));
      const float* const tokens = qkv + b * dims_.T * dims_.token();
      pack_keys(tokens, h / dims_.group(), first_key_tile(first), last, buffers);
      for (std::int64_t tile = first; tile < last; ++tile) {
        const QueryTile query = pack_queries(tokens, b, h, tile, buffers);
        f(query);
        unpack_rows(buffers.sums, query.rows, dims_.D, y + ((b * dims_.T + query.query) * dims_.H + h) * dims_.D,
                    dims_.H * dims_.D);
      }
    });
  }

 private:
  // Heads alone are few tasks when the batch is small; then the text is cut too. The cut depends on the sizes alone.
  // Every piece packs the keys again, which costs a few percent of a piece of one tile.
  static constexpr std::int64_t kTasksWanted = 24;

  struct Buffers {
    float *keys, *values, *queries, *sums, *own;
  };

  std::int64_t floats() const {
    const std::int64_t width = padded(dims_.D);
    return tiles(dims_.T) * kTile * (dims_.D + width) + 2 * kTile * width + own_floats_;
  }

  Buffers cut(float* scratch) const {
    const std::int64_t length = tiles(dims_.T) * kTile, width = padded(dims_.D);
    const auto take = [&](std::int64_t count) { return std::exchange(scratch, scratch + count); };
    float *const keys = take(length * dims_.D), *const values = take(length * width);
    float *const queries = take(kTile * width), *const sums = take(kTile * width);
    return {keys, values, queries, sums, take(own_floats_)};
  }

  std::int64_t first_key_tile(std::int64_t query_tile) const { return dims_.first_key(query_tile * kTile) / kTile; }

  void pack_keys(const float* tokens, std::int64_t kv, std::int64_t first, std::int64_t last, const Buffers& to) const {
    for (std::int64_t tile = first; tile < last; ++tile) {
      const std::int64_t key = tile * kTile, n = std::min(kTile, dims_.T - key);
      const float* const from = tokens + key * dims_.token();
      pack_transposed(from + dims_.key_at(kv), dims_.token(), n, dims_.D, to.keys + key * dims_.D);
      pack_rows(from + dims_.value_at(kv), dims_.token(), n, dims_.D, kTile, to.values + key * padded(dims_.D));
    }
  }

  QueryTile pack_queries(const float* tokens, std::int64_t b, std::int64_t h, std::int64_t tile,
                         const Buffers& to) const {
    const std::int64_t query = tile * kTile, rows = std::min(kTile, dims_.T - query), first = first_key_tile(tile);
    pack_rows(tokens + query * dims_.token() + dims_.query_at(h), dims_.token(), rows, dims_.D, round_up(rows, kGroup),
              to.queries);
    std::fill(to.sums, to.sums + kTile * padded(dims_.D), 0.0f);
    return {b, h, query, rows, first, tile + 1 - first, to.queries, to.keys, to.values, to.sums, to.own};
  }

  const AttentionDims& dims_;
  const std::int64_t own_floats_;
  std::int64_t tiles_each_;
};

}  // namespace isoloss::attention
