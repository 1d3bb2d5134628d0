// One new token a sequence against the cached keys and values: bound by reading the cache once.
#include <string>

#include "kernels/ops/attention/flash_tiles.cuh"

namespace isoloss {

namespace {

using namespace flash;

constexpr int kCachedThreads = 128;

/// Keys and values of the new token, next to each other in qkv as in the cache. Grid (1, sequences).
template <class T>
__global__ void __launch_bounds__(kCachedThreads)
    remember(T* cache, const T* qkv, std::int64_t row, std::int64_t token, std::int64_t key_at, std::int64_t positions,
             std::int64_t position) {
  const std::int64_t b = blockIdx.y;
  for (std::int64_t c = threadIdx.x; c < row; c += kCachedThreads) {
    cache[(b * positions + position) * row + c] = qkv[b * token + key_at + c];
  }
}

/// Grid (heads, sequences); dynamic shared memory: a weight for each live position.
template <class T>
__global__ void __launch_bounds__(kCachedThreads)
    attend(T* y, const T* qkv, const T* cache, const __grid_constant__ Sizes sizes, std::int64_t positions, int first,
           int position) {
  DYNAMIC_SHARED(float, weights);
  const int h = static_cast<int>(blockIdx.x), kv = h / (sizes.H / sizes.K);
  const std::int64_t b = blockIdx.y, row = 2 * static_cast<std::int64_t>(sizes.K) * sizes.D;
  const T* const query = qkv + b * sizes.token + static_cast<std::int64_t>(h) * sizes.D;
  const T* const keys = cache + b * positions * row + static_cast<std::int64_t>(kv) * sizes.D;
  const T* const values = keys + static_cast<std::int64_t>(sizes.K) * sizes.D;
  float largest = -INFINITY;
  for (int k = first + static_cast<int>(threadIdx.x); k <= position; k += kCachedThreads) {
    float score = 0;
    for (int c = 0; c < sizes.D; ++c) score += to_float(query[c]) * to_float(keys[k * row + c]);
    weights[k - first] = sizes.scale * score;
    largest = nan_max(largest, weights[k - first]);
  }
  largest = block_max<kCachedThreads>(largest);
  float sum = 0;
  for (int k = first + static_cast<int>(threadIdx.x); k <= position; k += kCachedThreads) {
    weights[k - first] = expf(weights[k - first] - largest);
    sum += weights[k - first];
  }
  sum = block_sum<kCachedThreads>(sum);  // holds a barrier: all weights are there
  for (int c = static_cast<int>(threadIdx.x); c < sizes.D; c += kCachedThreads) {
    float out = 0;
    for (int k = first; k <= position; ++k) out += weights[k - first] * to_float(values[k * row + c]);
    y[(b * sizes.H + h) * sizes.D + c] = from_float<T>(out / sum);
  }
}

}  // namespace

void attention_cached_cuda(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const std::int64_t positions = call.in[1].shape()[1], position = context.state->position;
  expect_cache_room(position, positions);
  const std::int64_t first = dims.first_key(position);
  const auto sequences = static_cast<unsigned>(dims.B);
  constexpr std::int64_t kWeights = 4;  // nvcc reads the weights by fours, the last one over the end of what is live
  const std::int64_t weights = (position - first + kWeights) / kWeights * kWeights;
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, remember<T>, dim3(1, sequences), kCachedThreads, 0, call.in[1].as<T>(), call.in[0].as<T>(),
           2 * dims.K * dims.D, dims.token(), dims.key_at(0), positions, position);
    launch(context, attend<T>, dim3(static_cast<unsigned>(dims.H), sequences), kCachedThreads,
           static_cast<std::size_t>(weights) * sizeof(float), call.out[0].as<T>(), call.in[0].as<T>(),
           call.in[1].as<T>(), sizes_of(dims), positions, static_cast<int>(first), static_cast<int>(position));
  });
}

}  // namespace isoloss
