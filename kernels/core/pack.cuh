// Sixteen bytes at a time: how memory-bound kernels load and store.
#pragma once

#include <type_traits>

#include "kernels/core/ptx.cuh"

namespace isoloss {

template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));  ///< 4 floats or 8 bf16

/// `n` neighbouring elements, by default as many as fit sixteen bytes. Tensors start on 16-byte borders, and so do
/// packs at multiples of kPack. Memory is global memory.
template <class T, int n = kPack<T>>
struct alignas(n * sizeof(T)) Pack {
  static constexpr int kSize = n;
  T element[n];

  DEVICE static Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
  DEVICE void store(T* to) const {
    if constexpr (sizeof(Pack) == 16 || sizeof(Pack) == 8) {
      std::conditional_t<sizeof(Pack) == 16, uint4, uint2> words;
      memcpy(&words, this, sizeof words);
      store_global(to, words);
    } else {
      *reinterpret_cast<Pack*>(to) = *this;
    }
  }
  /// The pack at element `at` of an array of `count`: zeros beyond its end.
  DEVICE static Pack load(const T* from, std::int64_t at, std::int64_t count) {
    if (at + n <= count) return load(from + at);
    Pack pack;
    UNROLL for (int i = 0; i < n; ++i) pack.element[i] = at + i < count ? from[at + i] : from_float<T>(0.0f);
    return pack;
  }
  /// Stores what lies within the array.
  DEVICE void store(T* to, std::int64_t at, std::int64_t count) const {
    if (at + n <= count) return store(to + at);
    UNROLL for (int i = 0; i < n; ++i) {
      if (at + i < count) to[at + i] = element[i];
    }
  }
  DEVICE float get(int i) const { return to_float(element[i]); }
  DEVICE void set(int i, float value) { element[i] = from_float<T>(value); }
};

// Elementwise kernels: one pack a thread.
inline constexpr int kElementThreads = 256;
template <class T>
DEVICE std::int64_t pack_of_thread() {
  return (static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x) * kPack<T>;
}
template <class T>
unsigned element_blocks(std::int64_t count) {
  return static_cast<unsigned>(blocks_for(count, kElementThreads * kPack<T>));
}

/// Stores, or adds to what is there.
template <class T>
DEVICE void put(T* to, float value, bool accumulate) {
  *to = from_float<T>(accumulate ? to_float(*to) + value : value);
}

}  // namespace isoloss
