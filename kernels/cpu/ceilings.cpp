#include "kernels/cpu/ceilings.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "kernels/base/parallel.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_tile.h"

namespace isoloss {

namespace {

/// The shortest time of `work`, repeated for `seconds` and at least three times.
template <class Work>
double best_time(double seconds, Work&& work) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  work();  // first wake of the threads
  double best = 1e30;
  const Clock::time_point start = Clock::now();
  for (int repetition = 0; repetition < 3 || since(start) < seconds; ++repetition) {
    const Clock::time_point begin = Clock::now();
    work();
    best = std::min(best, since(begin));
  }
  return best;
}

constexpr std::align_val_t kPage{4096};
struct Delete {
  void operator()(float* data) const { ::operator delete(data, kPage); }
};
using Floats = std::unique_ptr<float, Delete>;

/// `count` times `value`; writing it also makes the system provide the pages.
Floats floats(std::int64_t count, float value) {
  Floats data(static_cast<float*>(::operator new(static_cast<std::size_t>(count) * sizeof(float), kPage)));
  std::fill(data.get(), data.get() + count, value);
  return data;
}

double gemm_ceiling(double seconds) {
  constexpr std::int64_t kSize = 1536;  // three matrices of 9 MB: beyond the second-level cache, quick to multiply
  const Floats a = floats(kSize * kSize, 0.5f), b = floats(kSize * kSize, 0.25f), c = floats(kSize * kSize, 0.0f);
  const GemmProblem problem{.m = kSize,
                            .n = kSize,
                            .k = kSize,
                            .a = a.get(),
                            .lda = kSize,
                            .b = b.get(),
                            .ldb = kSize,
                            .c = c.get(),
                            .ldc = kSize};
  const Floats scratch = floats(static_cast<std::int64_t>(gemm_scratch(problem, threads()) / sizeof(float)) + 1, 0.0f);
  return 2.0 * kSize * kSize * kSize / best_time(seconds, [&] { gemm(problem, scratch.get()); });
}

double copy_ceiling(double seconds) {
  constexpr std::int64_t kCount = std::int64_t{16} << 20, kPiece = std::int64_t{64} << 10;
  const Floats from = floats(kCount, 1.0f), to = floats(kCount, 0.0f);
  const double time = best_time(seconds, [&] {
    parallel_for(kCount, kPiece, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.get() + begin, from.get() + begin, static_cast<std::size_t>(end - begin) * sizeof(float));
    });
  });
  return 2.0 * kCount * sizeof(float) / time;
}

double fma_ceiling(double seconds) {
  constexpr int kChains = kVecRegisters - 4;  // independent sums: enough to hide the latency of each
  constexpr std::int64_t kRounds = 100000;
  const std::int64_t tasks = 8 * threads();
  const Floats sink = floats(tasks, 0.0f);
  const double time = best_time(seconds, [&] {
    parallel_tasks(tasks, [&](std::int64_t task) {
      Vec sums[kChains];
      for (Vec& value : sums) value = Vec(0.0f);
      const Vec factor(0.5f), term(static_cast<float>(task));
      for (std::int64_t round = 0; round < kRounds; ++round) {
        detail::unrolled<kChains>([&](auto i) __attribute__((always_inline)) { sums[i] = fma(sums[i], factor, term); });
      }
      Vec total = sums[0];
      for (int i = 1; i < kChains; ++i) total += sums[i];
      sink.get()[task] = sum(total);
    });
  });
  return 2.0 * kVecWidth * kChains * static_cast<double>(kRounds * tasks) / time;
}

}  // namespace

Ceilings measure_ceilings(double seconds) {
  return {.flops_per_second = gemm_ceiling(0.5 * seconds),
          .bytes_per_second = copy_ceiling(0.25 * seconds),
          .fma_flops_per_second = fma_ceiling(0.25 * seconds)};
}

}  // namespace isoloss
