// Stable counting sort over chunks of the input, in three launches: count the keys of every chunk, turn the counts into
// first slots (one block), let a block a chunk give its elements their slots in order. Keys lie in [0, kSortKeys).
#pragma once

#include "kernels/cuda/launch.cuh"

namespace isoloss {

inline constexpr int kSortKeys = 256;  ///< and threads of a block: one for each key

struct KeySlots {
  int count;  ///< elements with the thread's key
  int first;  ///< how many elements have a smaller key
};

/// One block of kSortKeys threads, each with its key, of which there are `keys`. table [chunks, keys] turns from counts
/// into the first slot of the chunk's elements with that key.
DEVICE KeySlots first_slots(int* table, int chunks, int keys) {
  constexpr int kBatch = 8;  // chunks read before any is written
  SHARED(int, running, [kSortKeys]);
  const int key = static_cast<int>(threadIdx.x);
  int* const column = table + key;
  const auto of_chunk = [&](int chunk) { return key < keys && chunk < chunks ? column[chunk * keys] : 0; };
  int count = 0;
  UNROLL_BY(kBatch) for (int chunk = 0; chunk < chunks; ++chunk) count += of_chunk(chunk);
  running[key] = count;
  __syncthreads();
  UNROLL for (int step = 1; step < kSortKeys; step *= 2) {  // inclusive scan
    const int before = key >= step ? running[key - step] : 0;
    __syncthreads();
    running[key] += before;
    __syncthreads();
  }
  const int first = running[key] - count;
  int slot = first;
  for (int chunk = 0; chunk < chunks; chunk += kBatch) {
    int here[kBatch];
    UNROLL for (int b = 0; b < kBatch; ++b) here[b] = of_chunk(chunk + b);
    UNROLL for (int b = 0; b < kBatch; ++b) {
      if (key < keys && chunk + b < chunks) column[(chunk + b) * keys] = slot;
      slot += here[b];
    }
  }
  return {count, first};
}

/// place(i, slot) for every i whose key is this thread's, in order; keys [count] in shared memory.
template <class Place>
DEVICE void place_in_order(const int* keys, int count, int slot, Place place) {
  const int own = static_cast<int>(threadIdx.x);
  UNROLL_BY(4) for (int i = 0; i < count; ++i) {
    if (keys[i] == own) place(i, slot++);
  }
}

}  // namespace isoloss
