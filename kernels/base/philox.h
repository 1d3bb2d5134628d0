// Philox4x32-10, a counter-based generator: every draw is a pure function of (key, counter), so sampling,
// initialisation and dropout can be recomputed anywhere, in any order, on any device. Source: Salmon, Moraes, Dror,
// Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace isoloss {

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// Four independent 32-bit draws for a 64-bit key and a 128-bit counter (`stream` in the high half, `index` in the
/// low).
constexpr PhiloxBlock philox(std::uint64_t key, std::uint64_t stream, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream), c3 = static_cast<std::uint32_t>(stream >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

/// 64-bit FNV-1a: the stable hash that turns names into keys and streams.
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// Mixes two 64-bit values into a key (the finaliser of splitmix64 over their combination).
constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a + 0x9e3779b97f4a7c15u * (b + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// A sequential view of one (key, stream): for shuffles, generators and bootstraps on the host.
class Philox {
 public:
  explicit constexpr Philox(std::uint64_t key, std::uint64_t stream = 0) : key_(key), stream_(stream) {}

  constexpr std::uint32_t next() {
    if (used_ == 4) block_ = philox(key_, stream_, index_++), used_ = 0;
    return block_[used_++];
  }
  constexpr std::uint64_t next64() {
    const std::uint64_t high = next();
    return high << 32 | next();
  }
  /// Uniform in [0, 1) with 53 bits.
  constexpr double uniform() { return static_cast<double>(next64() >> 11) * 0x1.0p-53; }
  /// Uniform integer in [0, n), n > 0, unbiased by rejection.
  constexpr std::uint64_t below(std::uint64_t n) {
    const std::uint64_t limit = ~std::uint64_t{0} - (~std::uint64_t{0} % n + 1) % n;
    for (;;) {
      const std::uint64_t draw = next64();
      if (draw <= limit) return draw % n;
    }
  }
  /// Standard normal by Box and Muller, in double.
  double normal() {
    const double u = 1.0 - uniform(), v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  std::uint64_t key_, stream_, index_ = 0;
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace isoloss
