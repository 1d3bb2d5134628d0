// Flash attention, backward, in float32: probabilities are recomputed from the saved log-sum-exp, tile by tile. Two
// kernels, each with one owner for every number it writes, so that nothing is added in an order that could change: one
// walks over queries and owns keys and values (of all query heads that share them), one walks over keys and owns
// queries.
#include <string>

#include "kernels/ops/attention/flash_tiles.cuh"

namespace isoloss {

namespace {

using namespace flash;

template <class T>
struct Backward {
  const T *qkv, *y, *dy;
  const float *lse, *delta;
  T* dqkv;
  Sizes sizes;
  Dropout dropout;
};

/// delta[b,h,q] = <dy, y>: a warp a row. Grid over rows of [B, T, H].
template <class T>
__global__ void __launch_bounds__(kThreads)
    row_products(float* delta, const T* y, const T* dy, std::int64_t rows, int length, int heads, int D) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  float sum = 0;
  for (int c = static_cast<int>(threadIdx.x) % kWarp; c < D; c += kWarp) {
    sum += to_float(y[row * D + c]) * to_float(dy[row * D + c]);
  }
  sum = warp_sum(sum);
  const std::int64_t h = row % heads, q = row / heads % length, b = row / heads / length;
  if (threadIdx.x % kWarp == 0) delta[(b * heads + h) * length + q] = sum;
}

/// A block: 32 keys of one key head of one sequence. Grid (tiles of keys, key heads, sequences).
template <class T, int width>
__global__ void __launch_bounds__(kThreads) key_gradients(const __grid_constant__ Backward<T> p) {
  DYNAMIC_SHARED(float, memory);
  constexpr int kFloats = Tile<width>::kFloats;
  const Tile<width> keys{memory}, values{memory + kFloats}, queries{memory + 2 * kFloats}, flows{memory + 3 * kFloats};
  SHARED(float, weights, [kTile][kTile + 1]);
  SHARED(float, slopes, [kTile][kTile + 1]);
  const Sizes& sizes = p.sizes;
  const int b = static_cast<int>(blockIdx.z), kv = static_cast<int>(blockIdx.y), group = sizes.H / sizes.K;
  const int first = static_cast<int>(blockIdx.x) * kTile;
  const int r = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes, k = first + r;
  const std::int64_t sequence = static_cast<std::int64_t>(b) * sizes.T;
  const std::int64_t key_at = static_cast<std::int64_t>(sizes.H + kv) * sizes.D;
  const std::int64_t value_at = key_at + static_cast<std::int64_t>(sizes.K) * sizes.D;
  const T* const tokens = p.qkv + sequence * sizes.token;
  keys.load(tokens + key_at, sizes.token, first, sizes.T, sizes.D);
  values.load(tokens + value_at, sizes.token, first, sizes.T, sizes.D);

  float dkey[width / kLanes] = {}, dvalue[width / kLanes] = {};
  const int end = end_of_queries(sizes, min(first + kTile, sizes.T) - 1);
  for (int h = kv * group; h < (kv + 1) * group; ++h) {
    const std::int64_t head = (static_cast<std::int64_t>(b) * sizes.H + h) * sizes.T;
    for (int tile = first; tile < end; tile += kTile) {
      __syncthreads();
      queries.load(tokens + static_cast<std::int64_t>(h) * sizes.D, sizes.token, tile, sizes.T, sizes.D);
      flows.load(p.dy + (sequence * sizes.H + h) * sizes.D, static_cast<std::int64_t>(sizes.H) * sizes.D, tile, sizes.T,
                 sizes.D);
      __syncthreads();
      // All eight, as nvcc would have them, are two and a half times the instructions and a minute more to compile, and
      // each waits for its own branch anyway.
      UNROLL_BY(2) for (int j = 0; j < kTile / kLanes; ++j) {
        const int i = j * kLanes + lane, q = tile + i;
        float weight = 0, slope = 0;
        if (live(sizes, q, k)) {
          const float factor = p.dropout.factor(sizes, b, h, q, k);
          const float probability = expf(sizes.scale * dot<width>(queries.row(i), keys.row(r)) - p.lse[head + q]);
          weight = factor * probability;
          slope = sizes.scale * probability * (factor * dot<width>(flows.row(i), values.row(r)) - p.delta[head + q]);
        }
        weights[r][i] = weight, slopes[r][i] = slope;
      }
      __syncwarp();
      for (int i = 0; i < kTile; ++i) {
        const float weight = weights[r][i], slope = slopes[r][i];
        UNROLL for (int c = 0; c < width / kLanes; ++c) {
          dvalue[c] += weight * flows.row(i)[c * kLanes + lane];
          dkey[c] += slope * queries.row(i)[c * kLanes + lane];
        }
      }
    }
  }
  if (k >= sizes.T) return;
  T* const out = p.dqkv + (sequence + k) * sizes.token;
  UNROLL for (int c = 0; c < width / kLanes; ++c) {
    const int column = c * kLanes + lane;
    if (column >= sizes.D) continue;
    out[key_at + column] = from_float<T>(dkey[c]);
    out[value_at + column] = from_float<T>(dvalue[c]);
  }
}

/// A block: 32 queries of one head of one sequence. Grid (tiles of queries, heads, sequences).
template <class T, int width>
__global__ void __launch_bounds__(kThreads) query_gradients(const __grid_constant__ Backward<T> p) {
  DYNAMIC_SHARED(float, memory);
  constexpr int kFloats = Tile<width>::kFloats;
  const Tile<width> queries{memory}, flows{memory + kFloats}, keys{memory + 2 * kFloats}, values{memory + 3 * kFloats};
  SHARED(float, slopes, [kTile][kTile + 1]);
  const Sizes& sizes = p.sizes;
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y), kv = h / (sizes.H / sizes.K);
  const int first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kTile;  // the longest rows start first
  const int r = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes, q = first + r;
  const std::int64_t sequence = static_cast<std::int64_t>(b) * sizes.T;
  const std::int64_t head = (static_cast<std::int64_t>(b) * sizes.H + h) * sizes.T;
  const T* const tokens = p.qkv + sequence * sizes.token;
  const T* const key_rows = tokens + static_cast<std::int64_t>(sizes.H + kv) * sizes.D;
  const T* const value_rows = key_rows + static_cast<std::int64_t>(sizes.K) * sizes.D;
  queries.load(tokens + static_cast<std::int64_t>(h) * sizes.D, sizes.token, first, sizes.T, sizes.D);
  flows.load(p.dy + (sequence * sizes.H + h) * sizes.D, static_cast<std::int64_t>(sizes.H) * sizes.D, first, sizes.T,
             sizes.D);
  const float lse = q < sizes.T ? p.lse[head + q] : 0.0f, delta = q < sizes.T ? p.delta[head + q] : 0.0f;

  float dquery[width / kLanes] = {};
  const int last = min(first + kTile, sizes.T);
  for (int tile = first_key(sizes, first) / kTile * kTile; tile < last; tile += kTile) {
    __syncthreads();
    keys.load(key_rows, sizes.token, tile, sizes.T, sizes.D);
    values.load(value_rows, sizes.token, tile, sizes.T, sizes.D);
    __syncthreads();
    UNROLL_BY(2)  // as for the gradients of keys
    for (int j = 0; j < kTile / kLanes; ++j) {
      const int i = j * kLanes + lane, k = tile + i;
      float slope = 0;
      if (live(sizes, q, k)) {
        const float probability = expf(sizes.scale * dot<width>(queries.row(r), keys.row(i)) - lse);
        const float factor = p.dropout.factor(sizes, b, h, q, k);
        slope = sizes.scale * probability * (factor * dot<width>(flows.row(r), values.row(i)) - delta);
      }
      slopes[r][i] = slope;
    }
    __syncwarp();
    for (int i = 0; i < kTile; ++i) {
      const float slope = slopes[r][i];
      UNROLL for (int c = 0; c < width / kLanes; ++c) dquery[c] += slope * keys.row(i)[c * kLanes + lane];
    }
  }
  if (q >= sizes.T) return;
  T* const out = p.dqkv + (sequence + q) * sizes.token + static_cast<std::int64_t>(h) * sizes.D;
  UNROLL for (int c = 0; c < width / kLanes; ++c) {
    if (c * kLanes + lane < sizes.D) out[c * kLanes + lane] = from_float<T>(dquery[c]);
  }
}

}  // namespace

void attention_flash_backward_cuda(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  if (takes_mma(call, dims)) return backward_mma(context, call, dims);
  auto* const delta = static_cast<float*>(context.scratch.data);
  const auto tiles = static_cast<unsigned>(blocks_for(dims.T, kTile)), sequences = static_cast<unsigned>(dims.B);
  const std::int64_t rows = dims.B * dims.T * dims.H;
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, row_products<T>, static_cast<unsigned>(blocks_for(rows, kThreads / kWarp)), kThreads, 0, delta,
           call.in[1].as<T>(), call.in[3].as<T>(), rows, static_cast<int>(dims.T), static_cast<int>(dims.H),
           static_cast<int>(dims.D));
    const Backward<T> arguments{.qkv = call.in[0].as<T>(),
                                .y = call.in[1].as<T>(),
                                .dy = call.in[3].as<T>(),
                                .lse = call.in[2].as<float>(),
                                .delta = delta,
                                .dqkv = call.out[0].as<T>(),
                                .sizes = sizes_of(dims),
                                .dropout = dropout_of(call, context, dims)};
    with_width("attention_flash_backward", dims.D, [&](auto width) {
      constexpr std::size_t kShared = 4 * Tile<width()>::kFloats * sizeof(float);
      launch(context, key_gradients<T, width()>, dim3(tiles, static_cast<unsigned>(dims.K), sequences), kThreads,
             kShared, arguments);
      launch(context, query_gradients<T, width()>, dim3(tiles, static_cast<unsigned>(dims.H), sequences), kThreads,
             kShared, arguments);
    });
  });
}

}  // namespace isoloss
