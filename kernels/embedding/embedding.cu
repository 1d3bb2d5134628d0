#include <climits>

#include "kernels/core/dispatch.cuh"
#include "kernels/core/launch.cuh"
#include "kernels/core/pack.cuh"
#include "kernels/embedding/embedding.h"

namespace isoloss {

namespace {

/// table [length, width]: the sinusoidal embedding of the positions from `first` on; angles in double, as everywhere.
__global__ void __launch_bounds__(kElementThreads)
    tabulate(float* table, std::int64_t count, std::int64_t width, std::int64_t first) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at >= count) return;
  const std::int64_t c = at % width;
  const double frequency = pow(10000.0, -2.0 * static_cast<double>(c / 2) / static_cast<double>(width));
  const double angle = static_cast<double>(first + at / width) * frequency;
  table[at] = static_cast<float>(c % 2 == 0 ? sin(angle) : cos(angle));
}

/// A block a token. `position` and `table` may be null; both start at the first position of the call.
template <class T, int n>
__global__ void __launch_bounds__(kElementThreads)
    look_up(T* y, const std::int32_t* ids, const T* token, const T* position, const float* table, std::int64_t length,
            std::int64_t width) {
  const std::int64_t row = blockIdx.x, at = row % length;
  const T* const from = token + static_cast<std::int64_t>(ids[row]) * width;
  for (std::int64_t c = threadIdx.x * n; c < width; c += kElementThreads * n) {
    auto value = Pack<T, n>::load(from + c);
    if (position != nullptr) {
      const auto other = Pack<T, n>::load(position + at * width + c);
      UNROLL for (int i = 0; i < n; ++i) value.set(i, value.get(i) + other.get(i));
    }
    if (table != nullptr) {
      UNROLL for (int i = 0; i < n; ++i) value.set(i, value.get(i) + table[at * width + c + i]);
    }
    value.store(y + row * width + c);
  }
}

__global__ void __launch_bounds__(kElementThreads) fill(std::int32_t* to, std::int32_t value, std::int64_t count) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at < count) to[at] = value;
}

/// first[id] = the first token of the batch that is `id`. A minimum does not depend on the order of the threads.
__global__ void __launch_bounds__(kElementThreads)
    find_first(std::int32_t* first, const std::int32_t* ids, std::int64_t tokens) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at < tokens) atomicMin(first + ids[at], static_cast<std::int32_t>(at));
}

/// dtoken rows of the ids that occur. The block of an id's first token adds the gradients of all its tokens in the
/// order of the batch: it scans the rest of the batch in chunks and collects the hits of each, in order, in shared
/// memory.
template <class T>
__global__ void __launch_bounds__(kElementThreads)
    sum_hits(float* dtoken, const T* dy, const std::int32_t* ids, const std::int32_t* first, std::int64_t tokens,
             std::int64_t width) {
  SHARED(std::int32_t, hits, [kElementThreads]);
  SHARED(int, warp_hits, [kElementThreads / kWarp]);
  const std::int64_t own = blockIdx.x;
  const std::int32_t id = ids[own];
  if (first[id] != own) return;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  float* const row = dtoken + static_cast<std::int64_t>(id) * width;
  for (std::int64_t chunk = own; chunk < tokens; chunk += kElementThreads) {
    const std::int64_t at = chunk + threadIdx.x;
    const bool hit = at < tokens && ids[at] == id;
    const unsigned votes = __ballot_sync(kWholeWarp, hit);
    if (lane == 0) warp_hits[warp] = __popc(votes);
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < kElementThreads / kWarp; ++w) {
      before += w < warp ? warp_hits[w] : 0;
      all += warp_hits[w];
    }
    if (hit) hits[before + __popc(votes & ((1u << lane) - 1))] = static_cast<std::int32_t>(at);
    __syncthreads();
    if (all > 0) {
      for (std::int64_t c = threadIdx.x; c < width; c += kElementThreads) {
        float sum = row[c];
        for (int i = 0; i < all; ++i) sum += to_float(dy[hits[i] * width + c]);
        row[c] = sum;
      }
    }
    __syncthreads();  // hits and warp_hits are written again
  }
}

/// dposition [length, width] (+)= sum of dy over the sequences, in their order.
template <class T>
__global__ void __launch_bounds__(kElementThreads)
    sum_sequences(float* dposition, const T* dy, std::int64_t sequences, std::int64_t elements, bool accumulate) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at >= elements) return;
  float sum = accumulate ? dposition[at] : 0.0f;
  for (std::int64_t b = 0; b < sequences; ++b) sum += to_float(dy[b * elements + at]);
  dposition[at] = sum;
}

unsigned thread_blocks(std::int64_t count) { return static_cast<unsigned>(blocks_for(count, kElementThreads)); }

}  // namespace

void embedding_cuda(DeviceContext& context, const OpCall& call) {
  const Tensor &ids = call.in[0], &token = call.in[1], &position = call.in[2];
  const std::int64_t width = token.shape()[1], length = ids.shape()[1], first = context.state->position;
  float* table = nullptr;
  if (call.attributes.flag("sinusoidal")) {
    table = static_cast<float*>(context.scratch.data);
    launch(context, tabulate, thread_blocks(length * width), kElementThreads, 0, table, length * width, width, first);
  }
  with_real(token.type.dtype, [&]<class T>(T) {
    const T* const positions = position ? position.as<T>() + first * width : nullptr;
    const auto run = [&](auto n) {
      launch(context, look_up<T, n()>, static_cast<unsigned>(ids.count()), kElementThreads, 0, call.out[0].as<T>(),
             ids.as<std::int32_t>(), token.as<T>(), positions, table, length, width);
    };
    if (width % kPack<T> == 0) {
      run(std::integral_constant<int, kPack<T>>{});
    } else {
      run(std::integral_constant<int, 1>{});
    }
  });
}

void embedding_backward_cuda(DeviceContext& context, const OpCall& call) {
  const Tensor &ids = call.in[0], &dy = call.in[1], &dtoken = call.out[0], &dposition = call.out[1];
  const std::int64_t width = dy.shape()[2], length = dy.shape()[1], tokens = ids.count();
  CudaContext& cuda = *context.cuda;
  for (const std::size_t o : {0u, 1u}) {
    if (call.mode[o] == Mode::write) cuda.device->fill(call.out[o].data, 0, call.out[o].type.bytes(), cuda.stream);
  }
  with_real(dy.type.dtype, [&]<class T>(T) {
    if (dtoken) {
      auto* const first = static_cast<std::int32_t*>(context.scratch.data);
      const std::int64_t vocab = dtoken.shape()[0];
      launch(context, fill, thread_blocks(vocab), kElementThreads, 0, first, INT_MAX, vocab);
      launch(context, find_first, thread_blocks(tokens), kElementThreads, 0, first, ids.as<std::int32_t>(), tokens);
      launch(context, sum_hits<T>, static_cast<unsigned>(tokens), kElementThreads, 0, dtoken.as<float>(), dy.as<T>(),
             ids.as<std::int32_t>(), first, tokens, width);
    }
    if (dposition) {
      launch(context, sum_sequences<T>, thread_blocks(length * width), kElementThreads, 0,
             dposition.as<float>() + context.state->position * width, dy.as<T>(), ids.shape()[0], length * width,
             call.mode[1] == Mode::accumulate);
    }
  });
}

}  // namespace isoloss
