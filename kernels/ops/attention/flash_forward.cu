// Flash attention, forward, in float32: online softmax over tiles of keys; scores exist only in registers.
#include <string>

#include "kernels/ops/attention/flash_tiles.cuh"

namespace isoloss {

namespace {

using namespace flash;

template <class T>
struct Forward {
  const T* qkv;
  T* y;
  float* lse;  ///< null: not wanted
  Sizes sizes;
  Dropout dropout;
};

/// A block: 32 queries of one head of one sequence. Grid (tiles of queries, heads, sequences).
template <class T, int width>
__global__ void __launch_bounds__(kThreads) forward(const __grid_constant__ Forward<T> p) {
  DYNAMIC_SHARED(float, memory);
  const Tile<width> queries{memory}, keys{memory + Tile<width>::kFloats}, values{memory + 2 * Tile<width>::kFloats};
  SHARED(float, weights, [kTile][kTile + 1]);
  const Sizes& sizes = p.sizes;
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y), kv = h / (sizes.H / sizes.K);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kTile;  // the longest rows start first
  const int r = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes, q = first + r;
  const T* const tokens = p.qkv + static_cast<std::int64_t>(b) * sizes.T * sizes.token;
  const T* const key_rows = tokens + static_cast<std::int64_t>(sizes.H + kv) * sizes.D;
  const T* const value_rows = key_rows + static_cast<std::int64_t>(sizes.K) * sizes.D;
  queries.load(tokens + static_cast<std::int64_t>(h) * sizes.D, sizes.token, first, sizes.T, sizes.D);

  float out[width / kLanes] = {}, largest = -INFINITY, sum = 0;
  const int last = min(first + kTile, sizes.T);
  for (int tile = first_key(sizes, first) / kTile * kTile; tile < last; tile += kTile) {
    __syncthreads();  // the tile before is done with
    keys.load(key_rows, sizes.token, tile, sizes.T, sizes.D);
    values.load(value_rows, sizes.token, tile, sizes.T, sizes.D);
    __syncthreads();
    float scores[kTile / kLanes], tile_largest = -INFINITY;
    UNROLL for (int j = 0; j < kTile / kLanes; ++j) {
      const int k = j * kLanes + lane;
      scores[j] = live(sizes, q, tile + k) ? sizes.scale * dot<width>(queries.row(r), keys.row(k)) : -INFINITY;
      tile_largest = nan_max(tile_largest, scores[j]);
    }
    const float now = nan_max(largest, warp_max<kLanes>(tile_largest));
    // A row that has seen no live key yet: all its exponentials are 0, and -inf - -inf must not make them NaN.
    const float reference = now == -INFINITY ? 0.0f : now, shrink = expf(largest - reference);
    largest = now;
    sum *= shrink;
    UNROLL for (int j = 0; j < kTile / kLanes; ++j) {
      const int k = j * kLanes + lane;
      const float weight = expf(scores[j] - reference);
      sum += weight;
      weights[r][k] = live(sizes, q, tile + k) ? weight * p.dropout.factor(sizes, b, h, q, tile + k) : 0.0f;
    }
    __syncwarp();
    UNROLL for (int i = 0; i < width / kLanes; ++i) out[i] *= shrink;
    for (int k = 0; k < kTile; ++k) {
      const float weight = weights[r][k];
      UNROLL for (int i = 0; i < width / kLanes; ++i) out[i] += weight * values.row(k)[i * kLanes + lane];
    }
  }
  sum = warp_sum<kLanes>(sum);
  if (q >= sizes.T) return;
  T* const y = p.y + ((static_cast<std::int64_t>(b) * sizes.T + q) * sizes.H + h) * sizes.D;
  UNROLL for (int i = 0; i < width / kLanes; ++i) {
    if (i * kLanes + lane < sizes.D) y[i * kLanes + lane] = from_float<T>(out[i] / sum);
  }
  if (lane == 0 && p.lse != nullptr) {
    p.lse[(static_cast<std::int64_t>(b) * sizes.H + h) * sizes.T + q] = largest + logf(sum);
  }
}

}  // namespace

void attention_flash_cuda(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  if (takes_mma(call, dims)) return forward_mma(context, call, dims);
  const dim3 grid(static_cast<unsigned>(blocks_for(dims.T, kTile)), static_cast<unsigned>(dims.H),
                  static_cast<unsigned>(dims.B));
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    with_width("attention_flash", dims.D, [&](auto width) {
      launch(context, forward<T, width()>, grid, kThreads, 3 * Tile<width()>::kFloats * sizeof(float),
             Forward<T>{.qkv = call.in[0].as<T>(),
                        .y = call.out[0].as<T>(),
                        .lse = call.mode[1] == Mode::skip ? nullptr : call.out[1].as<float>(),
                        .sizes = sizes_of(dims),
                        .dropout = dropout_of(call, context, dims)});
    });
  });
}

}  // namespace isoloss
