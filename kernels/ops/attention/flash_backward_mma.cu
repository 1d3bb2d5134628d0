// Flash attention, backward, on tensor cores. As in flash_backward.cu each number has one owner, so that nothing is
// added in an order that could change: one kernel owns keys and values and walks over the queries of all heads that
// share them, one owns queries and walks over keys.
#include "kernels/cuda/reduce.cuh"
#include "kernels/ops/attention/mma_tiles.cuh"

namespace isoloss {

namespace {

using namespace flash;

struct Backward {
  const bf16 *qkv, *y, *dy;
  const float *lse, *delta;
  bf16* dqkv;
  Sizes sizes;
  Dropout dropout;
};

/// Of one query.
struct RowStatistics {
  float lse, delta;
};

/// A block owns 64 rows for each piece of 16 that a warp owns, and sees 32 partners at a time; these lie in shared
/// memory twice, since the next ones are on their way. `held`: own rows are left operands in registers.
template <int pieces, bool held>
struct Tiling {
  static constexpr int kPieces = pieces, kOwn = 16 * kPieces, kRows = kMmaWarps * kOwn;
  static constexpr int kPartners = 32, kColumns = kPartners / 8;
  static constexpr bool kHeld = held;
  static constexpr int elements(int width) { return (2 * kRows + 2 * 2 * kPartners) * width; }
  static constexpr int kStatistics = kRows;  ///< of own rows, or two stages of partners
  static_assert(kStatistics >= 2 * kPartners);
  static constexpr std::size_t bytes(int width) {
    return static_cast<std::size_t>(elements(width)) * sizeof(bf16) + kStatistics * sizeof(RowStatistics);
  }
};
// What the 255 registers of a thread have room for, beside two sums of `width` columns or one.
template <int width>
using KeyTiling = Tiling<width <= 64 ? 2 : 1, false>;
template <int width>
using QueryTiling = Tiling<width <= 96 ? 2 : 1, width != 96>;

/// The two tiles of what a block owns, the two stages of two tiles of partners, and statistics of queries.
template <int width, class Tiling>
struct Tiles {
  bf16* memory;
  DEVICE SharedTile<width> own(int which) const { return {memory, which * Tiling::kRows * width}; }
  DEVICE RowStatistics* statistics() const {
    return reinterpret_cast<RowStatistics*>(memory + Tiling::elements(width));
  }
  DEVICE SharedTile<width> partners(int stage, int which) const {
    return {memory, (2 * Tiling::kRows + (2 * stage + which) * Tiling::kPartners) * width};
  }
};

/// From scores and flows = dP to the left operands of the second products: scores become P as dropout left it (but for
/// its factor), flows become dS / scale = P · (dP - delta). `statistics(i, j, e)` are those of the query of a sum.
template <int m, int n, class Statistics>
DEVICE void differentiate(float (&scores)[m][n][4], float (&flows)[m][n][4], const Backward& p, const Kept<m, n>& kept,
                          const Statistics& statistics) {
  if (p.dropout.used) kept.apply(flows, p.dropout.kept_factor());
  const float scale = p.sizes.scale * kLog2e;
  UNROLL for (int i = 0; i < m; ++i) {
    UNROLL for (int j = 0; j < n; ++j) {
      UNROLL for (int e = 0; e < 4; ++e) {
        const RowStatistics row = statistics(i, j, e);
        const float probability = exp2_approx(scores[i][j][e] * scale - row.lse * kLog2e);
        flows[i][j][e] = probability * (flows[i][j][e] - row.delta);
        scores[i][j][e] = probability;
      }
    }
  }
  if (p.dropout.used) kept.apply(scores, 1.0f);
}

template <int m, int columns>
DEVICE void multiply(float (&sums)[m][columns][4], float factor) {
  UNROLL for (int i = 0; i < m; ++i) {
    UNROLL for (int j = 0; j < columns; ++j) { UNROLL for (int e = 0; e < 4; ++e) sums[i][j][e] *= factor; }
  }
}

constexpr int kProductLanes = 8;

/// delta[b,h,q] = <dy, y>: eight lanes a row, eight columns at a time. Grid over rows of [B, T, H].
__global__ void __launch_bounds__(kMmaThreads)
    row_products(float* delta, const bf16* y, const bf16* dy, std::int64_t rows, int length, int heads, int D) {
  constexpr int kLanes = kProductLanes;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kMmaThreads / kLanes) + threadIdx.x / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  float sum = 0;
  for (int c = lane * kPack<bf16>; row < rows && c < D; c += kLanes * kPack<bf16>) {
    const auto a = Pack<bf16>::load(y + row * D + c), b = Pack<bf16>::load(dy + row * D + c);
    UNROLL for (int i = 0; i < kPack<bf16>; ++i) sum += a.get(i) * b.get(i);
  }
  sum = warp_sum<kLanes>(sum);
  const std::int64_t h = row % heads, q = row / heads % length, b = row / heads / length;
  if (row < rows && lane == 0) delta[(b * heads + h) * length + q] = sum;
}

/// Grid (tiles of keys, key heads, sequences).
template <int width>
__global__ void __launch_bounds__(kMmaThreads, 2) key_gradients(const __grid_constant__ Backward p) {
  using Tiling = KeyTiling<width>;
  constexpr int kPieces = Tiling::kPieces, kOwn = Tiling::kOwn, kColumns = Tiling::kColumns;
  constexpr int kQueries = Tiling::kPartners;
  DYNAMIC_SHARED(bf16, memory);
  const Tiles<width, Tiling> tiles{memory};
  RowStatistics* const statistics = tiles.statistics();
  const Sizes& sizes = p.sizes;
  const int b = static_cast<int>(blockIdx.z), kv = static_cast<int>(blockIdx.y), group = sizes.H / sizes.K;
  const int first = static_cast<int>(blockIdx.x) * Tiling::kRows;
  const int own = static_cast<int>(threadIdx.x) / kWarp * kOwn, k = first + own;
  const std::int64_t sequence = static_cast<std::int64_t>(b) * sizes.T;
  const std::int64_t key_at = static_cast<std::int64_t>(sizes.H + kv) * sizes.D;
  const std::int64_t value_at = key_at + static_cast<std::int64_t>(sizes.K) * sizes.D;
  const bf16* const tokens = p.qkv + sequence * sizes.token;
  const std::int64_t dy_step = static_cast<std::int64_t>(sizes.H) * sizes.D;

  const auto load = [&](int h, int tile, int stage) {
    tiles.partners(stage, 0).template load<kQueries>(tokens + static_cast<std::int64_t>(h) * sizes.D, sizes.token, tile,
                                                     sizes.T, sizes.D);
    tiles.partners(stage, 1).template load<kQueries>(p.dy + sequence * dy_step + static_cast<std::int64_t>(h) * sizes.D,
                                                     dy_step, tile, sizes.T, sizes.D);
    if (const int row = static_cast<int>(threadIdx.x); row < kQueries) {
      // Beyond the text zeros, which with rows of zeros give zeros.
      const std::int64_t head = (static_cast<std::int64_t>(b) * sizes.H + h) * sizes.T;
      const bool valid = tile + row < sizes.T;
      copy_word_async(&statistics[stage * kQueries + row].lse, valid ? p.lse + head + tile + row : p.lse, valid);
      copy_word_async(&statistics[stage * kQueries + row].delta, valid ? p.delta + head + tile + row : p.delta, valid);
    }
    commit_copies();
  };
  tiles.own(0).template load<Tiling::kRows>(tokens + key_at, sizes.token, first, sizes.T, sizes.D);
  tiles.own(1).template load<Tiling::kRows>(tokens + value_at, sizes.token, first, sizes.T, sizes.D);
  load(kv * group, first, 0);
  wait_copies<0>();
  __syncthreads();
  const OwnRows<kPieces, width, Tiling::kHeld> keys(tiles.own(0), own), values(tiles.own(1), own);

  float dkeys[kPieces][width / 8][4] = {}, dvalues[kPieces][width / 8][4] = {};
  const int end = end_of_queries(sizes, min(first + Tiling::kRows, sizes.T) - 1), end_of_heads = (kv + 1) * group;
  for (int h = kv * group, tile = first, stage = 0; h < end_of_heads; stage ^= 1) {
    // The tiles of queries of one head after the other.
    const int next_tile = tile + kQueries < end ? tile + kQueries : first, next_h = next_tile == first ? h + 1 : h;
    if (next_h < end_of_heads) load(next_h, next_tile, stage ^ 1);
    const SharedTile<width> queries = tiles.partners(stage, 0), douts = tiles.partners(stage, 1);
    if (any_live(sizes, tile, kQueries, k, kOwn)) {
      Kept<kPieces, kColumns> kept;
      if (p.dropout.used) kept.template draw<true>(p.dropout, sizes, b, h, k, tile);
      float scores[kPieces][kColumns][4] = {}, flows[kPieces][kColumns][4] = {};
      add_dots(scores, keys, queries);
      if (!all_live(sizes, tile, kQueries, k, kOwn)) mask_dead<true>(scores, sizes, k, tile);
      add_dots(flows, values, douts);
      differentiate(scores, flows, p, kept,
                    [&](int, int j, int e) { return statistics[stage * kQueries + 8 * j + piece_column(e)]; });
      add_weighted(dvalues, scores, douts);
      add_weighted(dkeys, flows, queries);
    }
    wait_copies<0>();
    __syncthreads();  // the next queries are there, and all are done with these
    h = next_h, tile = next_tile;
  }
  multiply(dkeys, sizes.scale);
  if (p.dropout.used) multiply(dvalues, p.dropout.kept_factor());
  bf16* const out = p.dqkv + (sequence + k) * sizes.token;
  store_rows<kPieces>(tiles.own(0), own, dkeys, out + key_at, sizes.token, sizes.T - k, sizes.D);
  store_rows<kPieces>(tiles.own(1), own, dvalues, out + value_at, sizes.token, sizes.T - k, sizes.D);
}

/// Grid (tiles of queries, heads, sequences).
template <int width>
__global__ void __launch_bounds__(kMmaThreads, 2) query_gradients(const __grid_constant__ Backward p) {
  using Tiling = QueryTiling<width>;
  constexpr int kPieces = Tiling::kPieces, kOwn = Tiling::kOwn, kColumns = Tiling::kColumns;
  constexpr int kKeys = Tiling::kPartners;
  DYNAMIC_SHARED(bf16, memory);
  const Tiles<width, Tiling> tiles{memory};
  RowStatistics* const statistics = tiles.statistics();
  const Sizes& sizes = p.sizes;
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y), kv = h / (sizes.H / sizes.K);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * Tiling::kRows;  // the longest rows start first
  const int own = static_cast<int>(threadIdx.x) / kWarp * kOwn, q = first + own;
  const std::int64_t sequence = static_cast<std::int64_t>(b) * sizes.T;
  const std::int64_t query_at = static_cast<std::int64_t>(h) * sizes.D;
  const bf16* const tokens = p.qkv + sequence * sizes.token;
  const bf16* const key_rows = tokens + static_cast<std::int64_t>(sizes.H + kv) * sizes.D;
  const bf16* const value_rows = key_rows + static_cast<std::int64_t>(sizes.K) * sizes.D;
  const std::int64_t dy_step = static_cast<std::int64_t>(sizes.H) * sizes.D;

  const auto load = [&](int tile, int stage) {
    tiles.partners(stage, 0).template load<kKeys>(key_rows, sizes.token, tile, sizes.T, sizes.D);
    tiles.partners(stage, 1).template load<kKeys>(value_rows, sizes.token, tile, sizes.T, sizes.D);
    commit_copies();
  };
  const int end = min(first + Tiling::kRows, sizes.T);
  int tile = first_key(sizes, first) / kKeys * kKeys, stage = 0;
  tiles.own(0).template load<Tiling::kRows>(tokens + query_at, sizes.token, first, sizes.T, sizes.D);
  tiles.own(1).template load<Tiling::kRows>(p.dy + sequence * dy_step + query_at, dy_step, first, sizes.T, sizes.D);
  load(tile, stage);
  if (const int row = static_cast<int>(threadIdx.x); row < Tiling::kRows) {
    const std::int64_t at = (static_cast<std::int64_t>(b) * sizes.H + h) * sizes.T + first + row;
    const bool valid = first + row < sizes.T;
    statistics[row] = {valid ? p.lse[at] : 0.0f, valid ? p.delta[at] : 0.0f};
  }
  wait_copies<0>();
  __syncthreads();
  const OwnRows<kPieces, width, Tiling::kHeld> queries(tiles.own(0), own), douts(tiles.own(1), own);

  float dqueries[kPieces][width / 8][4] = {};
  for (; tile < end; tile += kKeys, stage ^= 1) {
    if (tile + kKeys < end) load(tile + kKeys, stage ^ 1);
    const SharedTile<width> keys = tiles.partners(stage, 0), values = tiles.partners(stage, 1);
    if (any_live(sizes, q, kOwn, tile, kKeys)) {
      Kept<kPieces, kColumns> kept;
      if (p.dropout.used) kept.template draw<false>(p.dropout, sizes, b, h, q, tile);
      float scores[kPieces][kColumns][4] = {}, flows[kPieces][kColumns][4] = {};
      add_dots(scores, queries, keys);
      if (!all_live(sizes, q, kOwn, tile, kKeys)) mask_dead<false>(scores, sizes, q, tile);
      add_dots(flows, douts, values);
      differentiate(scores, flows, p, kept, [&](int i, int, int e) { return statistics[own + 16 * i + piece_row(e)]; });
      add_weighted(dqueries, flows, keys);
    }
    wait_copies<0>();
    __syncthreads();  // the next keys are there, and all are done with these
  }
  multiply(dqueries, sizes.scale);
  store_rows<kPieces>(tiles.own(0), own, dqueries, p.dqkv + (sequence + q) * sizes.token + query_at, sizes.token,
                      sizes.T - q, sizes.D);
}

}  // namespace

void flash::backward_mma(DeviceContext& context, const OpCall& call, const AttentionDims& dims) {
  auto* const delta = static_cast<float*>(context.scratch.data);
  const std::int64_t rows = dims.B * dims.T * dims.H;
  const Backward arguments{.qkv = call.in[0].as<bf16>(),
                           .y = call.in[1].as<bf16>(),
                           .dy = call.in[3].as<bf16>(),
                           .lse = call.in[2].as<float>(),
                           .delta = delta,
                           .dqkv = call.out[0].as<bf16>(),
                           .sizes = sizes_of(dims),
                           .dropout = dropout_of(call, context, dims)};
  with_mma_width("attention_flash_backward", dims.D, [&](auto width) {
    using Keys = KeyTiling<width()>;
    using Queries = QueryTiling<width()>;
    const auto blocks = [&](int tile, std::int64_t heads) {
      return dim3(static_cast<unsigned>(blocks_for(dims.T, tile)), static_cast<unsigned>(heads),
                  static_cast<unsigned>(dims.B));
    };
    launch(context, row_products, static_cast<unsigned>(blocks_for(rows, kMmaThreads / kProductLanes)), kMmaThreads, 0,
           delta, arguments.y, arguments.dy, rows, static_cast<int>(dims.T), static_cast<int>(dims.H),
           static_cast<int>(dims.D));
    launch(context, key_gradients<width()>, blocks(Keys::kRows, dims.K), kMmaThreads, Keys::bytes(width()), arguments);
    launch(context, query_gradients<width()>, blocks(Queries::kRows, dims.H), kMmaThreads, Queries::bytes(width()),
           arguments);
  });
}

}  // namespace isoloss
