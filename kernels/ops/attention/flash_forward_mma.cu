// Flash attention, forward, on tensor cores: Dao, "FlashAttention-2", arXiv 2307.08691, with mma.sync and cp.async.
#include "kernels/cuda/reduce.cuh"
#include "kernels/ops/attention/mma_tiles.cuh"

namespace isoloss {

namespace {

using namespace flash;

struct Forward {
  const bf16* qkv;
  bf16* y;
  float* lse;  ///< null: not wanted
  Sizes sizes;
  Dropout dropout;
};

/// A block owns 128 queries, a warp 32 of them: two pieces of 16 rows, so that each right operand is used twice. Keys
/// at a time, and queries in registers, as the 255 registers of a thread have room beside the output.
template <int width>
struct Tiling {
  static constexpr int kPieces = 2, kOwn = 16 * kPieces, kQueries = kMmaWarps * kOwn,
                       kKeys = width <= 64   ? 64
                               : width <= 96 ? 32
                                             : 48;
  static constexpr bool kHeld = width <= 96;
  static constexpr std::size_t kBytes = (kQueries + 2 * 2 * kKeys) * width * sizeof(bf16);
};

/// The softmax of rows so far: e / 2 of a piece's sum says which of its two rows.
template <int m>
struct RunningSoftmax {
  float largest[m][2], sum[m][2];  ///< scores before scaling; this lane's share of the sums

  DEVICE RunningSoftmax() {
    UNROLL for (int i = 0; i < m; ++i) {
      UNROLL for (int half = 0; half < 2; ++half) largest[i][half] = -INFINITY, sum[i][half] = 0;
    }
  }

  /// Scores become exponentials 2^(score · scale - reference); sums and what was added up before are brought to the new
  /// reference. A NaN may miss the maximum, but its exponential and so the sum is NaN.
  template <int n, int columns>
  DEVICE void take(float (&scores)[m][n][4], float (&out)[m][columns][4], float scale) {
    UNROLL for (int i = 0; i < m; ++i) {
      UNROLL for (int half = 0; half < 2; ++half) {
        float now = largest[i][half];
        UNROLL for (int j = 0; j < n; ++j) {
          now = fmaxf(now, fmaxf(scores[i][j][2 * half], scores[i][j][2 * half + 1]));
        }
        now = fmaxf(now, __shfl_xor_sync(kWholeWarp, now, 1));
        now = fmaxf(now, __shfl_xor_sync(kWholeWarp, now, 2));
        // A row that has seen no live key yet: all its exponentials are 0, and -inf - -inf must not make them NaN.
        const float finite = now == -INFINITY ? 0.0f : now, reference = finite * scale;
        // Exactly 1 where the maximum stays: what a reference is rounded by would add up over the tiles.
        const float shrink = exp2_approx((largest[i][half] - finite) * scale);
        largest[i][half] = now;
        sum[i][half] *= shrink;
        UNROLL for (int j = 0; j < columns; ++j) {
          out[i][j][2 * half] *= shrink;
          out[i][j][2 * half + 1] *= shrink;
        }
        UNROLL for (int j = 0; j < n; ++j) {
          UNROLL for (int e = 2 * half; e < 2 * half + 2; ++e) {
            scores[i][j][e] = exp2_approx(fmaf(scores[i][j][e], scale, -reference));
            sum[i][half] += scores[i][j][e];
          }
        }
      }
    }
  }
};

/// Grid (tiles of queries, heads, sequences).
template <int width>
__global__ void __launch_bounds__(kMmaThreads, 2) forward(const __grid_constant__ Forward p) {
  constexpr int kPieces = Tiling<width>::kPieces, kOwn = Tiling<width>::kOwn, kKeys = Tiling<width>::kKeys;
  constexpr int kQueries = Tiling<width>::kQueries;
  DYNAMIC_SHARED(bf16, memory);
  const Sizes& sizes = p.sizes;
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y), kv = h / (sizes.H / sizes.K);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kQueries;  // the longest rows start first
  const int own = static_cast<int>(threadIdx.x) / kWarp * kOwn, q = first + own;
  const bf16* const tokens = p.qkv + static_cast<std::int64_t>(b) * sizes.T * sizes.token;
  const bf16* const key_rows = tokens + static_cast<std::int64_t>(sizes.H + kv) * sizes.D;
  const bf16* const value_rows = key_rows + static_cast<std::int64_t>(sizes.K) * sizes.D;
  const SharedTile<width> queries{memory, 0};
  const auto keys_of = [&](int stage) { return SharedTile<width>{memory, (kQueries + 2 * stage * kKeys) * width}; };
  const auto values_of = [&](int stage) {
    return SharedTile<width>{memory, (kQueries + (2 * stage + 1) * kKeys) * width};
  };
  const auto load = [&](int tile, int stage) {
    keys_of(stage).template load<kKeys>(key_rows, sizes.token, tile, sizes.T, sizes.D);
    values_of(stage).template load<kKeys>(value_rows, sizes.token, tile, sizes.T, sizes.D);
    commit_copies();
  };

  const int end = min(first + kQueries, sizes.T);
  int tile = first_key(sizes, first) / kKeys * kKeys, stage = 0;
  queries.template load<kQueries>(tokens + static_cast<std::int64_t>(h) * sizes.D, sizes.token, first, sizes.T,
                                  sizes.D);
  load(tile, stage);
  wait_copies<0>();
  __syncthreads();
  const OwnRows<kPieces, width, Tiling<width>::kHeld> own_queries(queries, own);

  float out[kPieces][width / 8][4] = {};
  RunningSoftmax<kPieces> softmax;
  const float scale = sizes.scale * kLog2e;
  for (; tile < end; tile += kKeys, stage ^= 1) {
    if (tile + kKeys < end) load(tile + kKeys, stage ^ 1);
    if (any_live(sizes, q, kOwn, tile, kKeys)) {
      Kept<kPieces, kKeys / 8> kept;
      if (p.dropout.used) kept.template draw<false>(p.dropout, sizes, b, h, q, tile);
      float scores[kPieces][kKeys / 8][4] = {};
      add_dots(scores, own_queries, keys_of(stage));
      if (!all_live(sizes, q, kOwn, tile, kKeys)) mask_dead<false>(scores, sizes, q, tile);
      softmax.take(scores, out, scale);
      if (p.dropout.used) kept.apply(scores, 1.0f);
      add_weighted(out, scores, values_of(stage));
    }
    wait_copies<0>();
    __syncthreads();  // the next tile is there, and all are done with this one
  }

  const float kept_factor = p.dropout.used ? p.dropout.kept_factor() : 1.0f;
  UNROLL for (int i = 0; i < kPieces; ++i) {
    UNROLL for (int half = 0; half < 2; ++half) {
      const float sum = warp_sum<4>(softmax.sum[i][half]), factor = __fdividef(kept_factor, sum);
      UNROLL for (int j = 0; j < width / 8; ++j) {
        out[i][j][2 * half] *= factor;
        out[i][j][2 * half + 1] *= factor;
      }
      const int row = q + 16 * i + piece_row(2 * half);
      if (p.lse != nullptr && lane_of_warp() % 4 == 0 && row < sizes.T) {
        p.lse[(static_cast<std::int64_t>(b) * sizes.H + h) * sizes.T + row] =
            softmax.largest[i][half] * sizes.scale + logf(sum);
      }
    }
  }
  bf16* const y = p.y + ((static_cast<std::int64_t>(b) * sizes.T + q) * sizes.H + h) * sizes.D;
  store_rows<kPieces>(queries, own, out, y, static_cast<std::int64_t>(sizes.H) * sizes.D, sizes.T - q, sizes.D);
}

}  // namespace

void flash::forward_mma(DeviceContext& context, const OpCall& call, const AttentionDims& dims) {
  with_mma_width("attention_flash", dims.D, [&](auto width) {
    using Tiles = Tiling<width()>;
    const dim3 grid(static_cast<unsigned>(blocks_for(dims.T, Tiles::kQueries)), static_cast<unsigned>(dims.H),
                    static_cast<unsigned>(dims.B));
    launch(context, forward<width()>, grid, kMmaThreads, Tiles::kBytes,
           Forward{.qkv = call.in[0].as<bf16>(),
                   .y = call.out[0].as<bf16>(),
                   .lse = call.mode[1] == Mode::skip ? nullptr : call.out[1].as<float>(),
                   .sizes = sizes_of(dims),
                   .dropout = dropout_of(call, context, dims)});
  });
}

}  // namespace isoloss
