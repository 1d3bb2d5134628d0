#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/sort.cuh"
#include "kernels/ops/embedding/embedding.h"
#include "kernels/ops/embedding/embedding_cuda.h"

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

constexpr int kRowWarps = 8;

/// A warp a token. `position` and `table` may be null; both start at the first position of the call.
template <class T, int n>
__global__ void __launch_bounds__(kWarp* kRowWarps)
    look_up(T* __restrict__ y, const std::int32_t* __restrict__ ids, const T* __restrict__ token,
            const T* __restrict__ position, const float* __restrict__ table, int tokens, int length, int width) {
  using Lanes = Pack<T, n>;
  const int row = static_cast<int>(blockIdx.x * kRowWarps + threadIdx.y), at = row % length;
  if (row >= tokens) return;
  const T* const from = token + std::int64_t{ids[row]} * width;
  UNROLL_BY(4) for (int c = static_cast<int>(threadIdx.x) * n; c < width; c += kWarp * n) {
    const auto own = Lanes::load(from + c);
    float value[n];
    UNROLL for (int i = 0; i < n; ++i) value[i] = own.get(i);
    if (position != nullptr) {
      const auto other = Lanes::load(position + std::int64_t{at} * width + c);
      UNROLL for (int i = 0; i < n; ++i) value[i] += other.get(i);
    }
    if (table != nullptr) {
      UNROLL for (int i = 0; i < n; ++i) value[i] += table[std::int64_t{at} * width + c + i];
    }
    Lanes::of(value).store(y + std::int64_t{row} * width + c);
  }
}

// The tokens are sorted by their ids, stably and digit by digit.
constexpr int kChunk = static_cast<int>(EmbeddingSort::kChunk), kPiece = static_cast<int>(EmbeddingSort::kPiece);

/// The digits of a chunk of tokens, in shared memory, and in `from` the tokens; `order` null: the batch's own.
DEVICE int load_digits(int (&digits)[kChunk], int (&from)[kChunk], const std::int32_t* ids, const std::int32_t* order,
                       int tokens, int shift) {
  const int first = static_cast<int>(blockIdx.x) * kChunk, here = min(tokens - first, kChunk);
  for (int i = static_cast<int>(threadIdx.x); i < here; i += kSortKeys) {
    from[i] = order != nullptr ? order[first + i] : first + i;
    digits[i] = ids[from[i]] >> shift & (kSortKeys - 1);
  }
  __syncthreads();
  return here;
}

__global__ void __launch_bounds__(kSortKeys)
    count_digits(std::int32_t* slots, const std::int32_t* ids, const std::int32_t* order, int tokens, int shift) {
  SHARED(int, digits, [kChunk]);
  SHARED(int, from, [kChunk]);
  SHARED(int, counts, [kSortKeys]);
  counts[threadIdx.x] = 0;
  const int here = load_digits(digits, from, ids, order, tokens, shift);
  for (int i = static_cast<int>(threadIdx.x); i < here; i += kSortKeys) {
    atomicAdd(&counts[digits[i]], 1);  // of integers: the order changes nothing
  }
  __syncthreads();
  slots[blockIdx.x * kSortKeys + threadIdx.x] = counts[threadIdx.x];
}

__global__ void __launch_bounds__(kSortKeys) scan_digits(std::int32_t* slots, int chunks) {
  first_slots(slots, chunks, kSortKeys);
}

/// sorted: the ids in the new order.
__global__ void __launch_bounds__(kSortKeys)
    place_tokens(std::int32_t* to, std::int32_t* sorted, const std::int32_t* slots, const std::int32_t* ids,
                 const std::int32_t* order, int tokens, int shift) {
  SHARED(int, digits, [kChunk]);
  SHARED(int, from, [kChunk]);
  const int here = load_digits(digits, from, ids, order, tokens, shift);
  place_in_order(digits, here, slots[blockIdx.x * kSortKeys + threadIdx.x], [&](int i, int slot) {
    to[slot] = from[i];
    sorted[slot] = ids[from[i]];
  });
}

constexpr int kSumThreads = 128;

/// row (+)= sum, n columns from c on.
template <int n>
DEVICE void put_columns(float* row, const float (&sum)[n], bool add) {
  using Columns = Pack < float, n<4 ? n : 4>;
  UNROLL for (int i = 0; i < n; i += Columns::kSize) {
    const Columns before = add ? Columns::load(row + i) : Columns{};
    float columns[Columns::kSize];
    UNROLL for (int j = 0; j < Columns::kSize; ++j) columns[j] = before.get(j) + sum[i + j];
    Columns::of(columns).store(row + i);
  }
}

/// A block a piece of the sorted tokens (and a band of columns): adds the gradients of each run of equal ids to its row
/// of dtoken. Of a run that goes over the piece's ends the sum goes to partial [pieces,2,width] instead: entry 0 where
/// it comes from the piece before, else 1.
template <class T, int n>
__global__ void __launch_bounds__(kSumThreads)
    sum_runs(float* dtoken, float* partial, const T* dy, const std::int32_t* order, const std::int32_t* sorted,
             int tokens, int width) {
  constexpr int kBatch = 8;
  using Lanes = Pack<T, n>;
  SHARED(std::int32_t, from, [kPiece]);
  SHARED(std::int32_t, ids, [kPiece + 2]);  // from one before the piece to one after
  const int first = static_cast<int>(blockIdx.x) * kPiece, here = min(tokens - first, kPiece);
  const int thread = static_cast<int>(threadIdx.x), c = (static_cast<int>(blockIdx.y) * kSumThreads + thread) * n;
  if (thread < kPiece + 2) {
    const int at = first + thread - 1;
    ids[thread] = at >= 0 && at < tokens ? sorted[at] : -1;
  }
  if (thread < here) from[thread] = order[first + thread];
  __syncthreads();
  if (c >= width) return;
  float sum[n] = {};
  for (int start = 0; start < here; start += kBatch) {
    Lanes gradient[kBatch];
    UNROLL for (int b = 0; b < kBatch; ++b) {
      if (start + b < here) gradient[b] = Lanes::load(dy + std::int64_t{from[start + b]} * width + c);
    }
    UNROLL for (int b = 0; b < kBatch; ++b) {
      const int i = start + b;
      if (i >= here) continue;
      UNROLL for (int j = 0; j < n; ++j) sum[j] += gradient[b].get(j);
      const std::int32_t id = ids[i + 1];
      if (i + 1 < here && ids[i + 2] == id) continue;
      const bool comes = ids[0] == id, goes = ids[i + 2] == id;
      const std::int64_t entry = std::int64_t{blockIdx.x} * 2 + (comes ? 0 : 1);
      put_columns(comes || goes ? partial + entry * width + c : dtoken + std::int64_t{id} * width + c, sum,
                  !comes && !goes);
      UNROLL for (int j = 0; j < n; ++j) sum[j] = 0;
    }
  }
}

/// Adds the parts of a run that starts in the block's piece and goes on, in order, to the row of its id.
__global__ void __launch_bounds__(kSumThreads)
    join_runs(float* dtoken, const float* partial, const std::int32_t* sorted, int tokens, int width) {
  const int piece = static_cast<int>(blockIdx.x), first = piece * kPiece, next = first + kPiece;
  if (next >= tokens) return;
  const std::int32_t id = sorted[next];
  if (sorted[next - 1] != id || (first > 0 && sorted[first - 1] == id)) return;
  int more = 0;  // pieces after this one that start with the id: they lie side by side
  for (int found = kSumThreads; found == kSumThreads; more += found) {
    const int at = next + (more + static_cast<int>(threadIdx.x)) * kPiece;
    found = __syncthreads_count(at < tokens && sorted[at] == id);
  }
  const int c = static_cast<int>(blockIdx.y) * kSumThreads + static_cast<int>(threadIdx.x);
  if (c >= width) return;
  float sum = partial[(std::int64_t{piece} * 2 + 1) * width + c];
  UNROLL_BY(8) for (int i = 1; i <= more; ++i) sum += partial[std::int64_t{piece + i} * 2 * width + c];
  dtoken[std::int64_t{id} * width + c] += sum;
}

/// dposition [length, width] (+)= sum of dy over the sequences, in their order.
template <class T, int n>
__global__ void __launch_bounds__(kElementThreads)
    sum_sequences(float* dposition, const T* dy, int sequences, std::int64_t elements, bool accumulate) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kElementThreads + threadIdx.x) * n;
  if (at >= elements) return;
  float sum[n] = {};
  UNROLL_BY(8) for (int b = 0; b < sequences; ++b) {
    const auto gradient = Pack<T, n>::load(dy + b * elements + at);
    UNROLL for (int i = 0; i < n; ++i) sum[i] += gradient.get(i);
  }
  put_columns(dposition + at, sum, accumulate);
}

unsigned thread_blocks(std::int64_t count) { return static_cast<unsigned>(blocks_for(count, kElementThreads)); }

/// The tokens of the batch by rising id, equal ones in their order; a part of orders [2,tokens], after which come the
/// ids in that order and the slots of the chunks.
std::int32_t* sort_tokens(DeviceContext& context, const Tensor& ids, std::int64_t vocab, const EmbeddingSort& sizes,
                          std::int32_t* orders) {
  std::int32_t *const sorted = orders + 2 * sizes.tokens, *const slots = sorted + sizes.tokens;
  std::int32_t* order = nullptr;
  const auto chunks = static_cast<unsigned>(sizes.chunks);
  for (int shift = 0; shift == 0 || (vocab - 1) >> shift > 0; shift += 8) {
    std::int32_t* const next = order == orders ? orders + sizes.tokens : orders;
    launch(context, count_digits, chunks, kSortKeys, 0, slots, ids.as<std::int32_t>(), order, sizes.tokens, shift);
    launch(context, scan_digits, 1u, kSortKeys, 0, slots, sizes.chunks);
    launch(context, place_tokens, chunks, kSortKeys, 0, next, sorted, slots, ids.as<std::int32_t>(), order,
           sizes.tokens, shift);
    order = next;
  }
  return order;
}

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
      launch(context, look_up<T, n()>, static_cast<unsigned>(blocks_for(ids.count(), kRowWarps)),
             dim3(kWarp, kRowWarps), 0, call.out[0].as<T>(), ids.as<std::int32_t>(), token.as<T>(), positions, table,
             ids.count(), length, width);
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
  const EmbeddingSort sizes(tokens, width);
  auto* const partial = static_cast<float*>(context.scratch.data);
  auto* const orders = static_cast<std::int32_t*>(context.scratch.data) + sizes.partial();
  std::int32_t *const sorted = orders + 2 * tokens, *order = nullptr;
  if (dtoken) order = sort_tokens(context, ids, dtoken.shape()[0], sizes, orders);
  with_real(dy.type.dtype, [&]<class T>(T) {
    const auto run = [&](auto n) {
      if (dtoken) {
        const auto grid = [&](int columns) {  // of one block
          return dim3(static_cast<unsigned>(sizes.pieces), static_cast<unsigned>(blocks_for(width, columns)));
        };
        launch(context, sum_runs<T, n()>, grid(kSumThreads * n()), kSumThreads, 0, dtoken.as<float>(), partial,
               dy.as<T>(), order, sorted, tokens, width);
        launch(context, join_runs, grid(kSumThreads), kSumThreads, 0, dtoken.as<float>(), partial, sorted, tokens,
               width);
      }
      if (dposition) {
        launch(context, sum_sequences<T, n()>, thread_blocks(length * width / n()), kElementThreads, 0,
               dposition.as<float>() + context.state->position * width, dy.as<T>(), ids.shape()[0], length * width,
               call.mode[1] == Mode::accumulate);
      }
    };
    if (width % kPack<T> == 0) {
      run(std::integral_constant<int, kPack<T>>{});
    } else {
      run(std::integral_constant<int, 1>{});
    }
  });
}

}  // namespace isoloss
