// Numbers handed out to threads so that each works on its own part of the data, region after region, while that is in
// its cache; who is done takes over what others have left.
#pragma once

#include <atomic>
#include <cstdint>

namespace isoloss {

/// What one thread has left: numbers begin … end - 1, below 2^32. The thread takes them in order, others from the end.
class Share {
 public:
  static constexpr std::int64_t kNone = -1;
  static constexpr std::int64_t kMost = std::int64_t{1} << 32;

  /// Not while anybody takes.
  void fill(std::int64_t begin, std::int64_t end) { left_.store(pack(begin, end), std::memory_order_relaxed); }

  std::int64_t take_first() {
    return take([](std::int64_t& begin, std::int64_t&) { return begin++; });
  }
  std::int64_t take_last() {
    return take([](std::int64_t&, std::int64_t& end) { return --end; });
  }

 private:
  static std::uint64_t pack(std::int64_t begin, std::int64_t end) {
    return static_cast<std::uint64_t>(end) << 32 | static_cast<std::uint64_t>(begin);
  }

  /// Relaxed: a number carries no data. What the task reads is ordered by whoever lets the threads in.
  template <class Cut>
  std::int64_t take(const Cut& cut) {
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    for (;;) {
      auto begin = static_cast<std::int64_t>(left & 0xffffffff), end = static_cast<std::int64_t>(left >> 32);
      if (begin >= end) return kNone;
      const std::int64_t taken = cut(begin, end);
      if (left_.compare_exchange_weak(left, pack(begin, end), std::memory_order_relaxed)) return taken;
    }
  }

  alignas(64) std::atomic<std::uint64_t> left_{0};  // a cache line each: taking one's own disturbs nobody
};

/// Gives each of `threads` shares its part of the numbers begin … end - 1.
inline void fill_shares(Share* shares, int threads, std::int64_t begin, std::int64_t end) {
  for (int thread = 0; thread < threads; ++thread) {
    shares[thread].fill(begin + (end - begin) * thread / threads, begin + (end - begin) * (thread + 1) / threads);
  }
}

/// The next number for `thread`: of its own share, then of its neighbours'; Share::kNone when all are given out.
inline std::int64_t take_share(Share* shares, int threads, int thread) {
  std::int64_t taken = shares[thread].take_first();
  for (int other = thread + 1; taken == Share::kNone && other < thread + threads; ++other) {
    taken = shares[other % threads].take_last();
  }
  return taken;
}

}  // namespace isoloss
