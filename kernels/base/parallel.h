// The one thread pool of the process. Loops are cut by index alone, never by timing, and no reduction crosses the cuts
// unless its cuts are fixed, so results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <type_traits>

namespace isoloss {

/// Threads that parallel regions use, the caller's included. Default: the processors this process may run on, in a
/// Slurm job no more than the job's share of them.
int threads();
/// Set before training starts; joins or starts workers. `count` >= 1.
void set_threads(int count);

namespace detail {
using TaskFunction = void (*)(void* context, std::int64_t task, int thread);
/// Runs task 0..tasks-1 (fewer than 2^32), each exactly once, over the pool; returns when all are done. Every thread
/// starts with its own part of the numbers (shares.h), so that regions over the same rows find them in the cache of the
/// same processor; no task may wait for another. They must not throw. Nested calls run inline on the calling thread.
void run_tasks(std::int64_t tasks, TaskFunction function, void* context);
}  // namespace detail

/// f(task) or f(task, thread) for every task in [0, tasks). `thread` is in [0, threads()), and where nobody disturbs it
/// takes the tasks from tasks · thread / threads() on.
template <class F>
void parallel_tasks(std::int64_t tasks, F&& f) {
  if (tasks <= 0) return;
  detail::run_tasks(
      tasks,
      [](void* context, std::int64_t task, int thread) {
        auto& function = *static_cast<std::remove_reference_t<F>*>(context);
        if constexpr (std::is_invocable_v<F, std::int64_t, int>) {
          function(task, thread);
        } else {
          (void)thread;
          function(task);
        }
      },
      &f);
}

/// f(begin, end) over contiguous pieces of [0, n), each of at least `grain` elements (the last may be shorter) and, but
/// for the last, a multiple of `grain`. Small loops run inline.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  const std::int64_t pieces_wanted = static_cast<std::int64_t>(threads()) * 4;
  std::int64_t piece = (n + pieces_wanted - 1) / pieces_wanted;
  piece = (piece + grain - 1) / grain * grain;
  const std::int64_t pieces = (n + piece - 1) / piece;
  if (pieces <= 1 || threads() == 1) {
    f(std::int64_t{0}, n);
    return;
  }
  parallel_tasks(pieces, [&](std::int64_t task) {
    const std::int64_t begin = task * piece;
    f(begin, begin + piece < n ? begin + piece : n);
  });
}

}  // namespace isoloss
