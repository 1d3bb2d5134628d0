// Sixteen bytes at a time: how memory-bound kernels load and store.
#pragma once

#include <type_traits>

#include "kernels/cuda/ptx.cuh"

namespace isoloss {

template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));  ///< 4 floats or 8 bf16

/// `n` neighbouring elements, by default as many as fit sixteen bytes. Tensors start on 16-byte borders, and so do
/// packs at multiples of kPack. Memory is global memory.
///
/// It holds words and not elements: what is copied, or chosen (a pack or zeros), nvcc copies member by member, which
/// for halves of words costs two instructions each; and an upper half is a float with one instruction, where nvcc would
/// first bring it down and then up again.
template <class T, int n = kPack<T>>
struct alignas(n * sizeof(T)) Pack {
  static constexpr int kSize = n;
  static constexpr std::size_t kBytes = n * sizeof(T);
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>;  ///< of an element
  using Word = std::conditional_t<kBytes % 4 == 0, std::uint32_t, Bits>;
  static constexpr int kOfWord = static_cast<int>(sizeof(Word) / sizeof(T));
  Word word[n / kOfWord];

  DEVICE static Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
  DEVICE void store(T* to) const {
    if constexpr (kBytes == 16 || kBytes == 8) {
      std::conditional_t<kBytes == 16, uint4, uint2> words;
      memcpy(&words, this, kBytes);
      store_global(to, words);
    } else {
      *reinterpret_cast<Pack*>(to) = *this;
    }
  }
  /// The pack at element `at` of an array of `count`: zeros beyond its end.
  DEVICE static Pack load(const T* from, std::int64_t at, std::int64_t count) {
    if (at + n <= count) return load(from + at);
    Pack pack{};
    UNROLL for (int i = 0; i < n; ++i) {
      if (at + i >= count) continue;
      const T element = from[at + i];
      Bits bits;
      memcpy(&bits, &element, sizeof bits);
      pack.word[i / kOfWord] |= static_cast<Word>(Word{bits} << (16 * (i % kOfWord)));
    }
    return pack;
  }
  /// Stores what lies within the array.
  DEVICE void store(T* to, std::int64_t at, std::int64_t count) const {
    if (at + n <= count) return store(to + at);
    UNROLL for (int i = 0; i < n; ++i) {
      if (at + i >= count) continue;
      const auto bits = static_cast<Bits>(word[i / kOfWord] >> (16 * (i % kOfWord)));
      T element;
      memcpy(&element, &bits, sizeof bits);
      to[at + i] = element;
    }
  }

  DEVICE float get(int i) const {
    if constexpr (sizeof(T) == 4) return __uint_as_float(word[i]);
    const std::uint32_t around = word[i / kOfWord];
    return __uint_as_float(i % kOfWord == 1 ? around & 0xFFFF0000u : around << 16);
  }
  DEVICE static Pack of(const float (&value)[n]) {
    Pack pack;
    UNROLL for (int i = 0; i < n; i += kOfWord) {
      if constexpr (kOfWord == 2) {
        pack.word[i / 2] = pack_bf16(value[i], value[i + 1]);
      } else {
        const T element = from_float<T>(value[i]);
        memcpy(&pack.word[i], &element, sizeof element);
      }
    }
    return pack;
  }
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
