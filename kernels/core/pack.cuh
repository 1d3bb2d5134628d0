// Sixteen bytes at a time: how memory-bound kernels load and store.
#pragma once

#include "kernels/core/cuda.cuh"

namespace isoloss {

template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));  ///< 4 floats or 8 bf16

/// As many elements of T as fit sixteen bytes.
template <class T>
struct alignas(16) Pack {
  T element[kPack<T>];

  DEVICE static Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
  DEVICE void store(T* to) const { *reinterpret_cast<Pack*>(to) = *this; }
  DEVICE float get(int i) const { return to_float(element[i]); }
  DEVICE void set(int i, float value) { element[i] = from_float<T>(value); }
};

/// Whether rows of `width` elements of T that start at a 256-byte aligned pointer can all be read in packs.
template <class T>
constexpr bool packs(std::int64_t width) {
  return width % kPack<T> == 0;
}

/// Stores, or adds to what is there.
template <class T>
DEVICE void put(T* to, float value, bool accumulate) {
  *to = from_float<T>(accumulate ? to_float(*to) + value : value);
}

}  // namespace isoloss
