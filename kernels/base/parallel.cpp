#include "kernels/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include "kernels/base/shares.h"

namespace isoloss {

namespace {

// Workers and the waiting caller look at an atomic for a few microseconds, the length of the gap between two operations
// of a training step, and then sleep in the kernel. Spinning longer would win nothing on an idle machine and lose a
// core on a busy one (a spinning barrier is several times slower as soon as one neighbour is busy).
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#endif
}

int available_processors() {
  cpu_set_t set;
  int count = static_cast<int>(std::thread::hardware_concurrency());
  if (::sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  // Slurm need not bind a job to its share of the node, but says how large it is.
  const char* share = std::getenv("SLURM_CPUS_PER_TASK");
  if (const int of_job = share != nullptr ? std::atoi(share) : 0; of_job > 0) count = std::min(count, of_job);
  return std::max(1, count);
}

thread_local int region_thread = -1;  // this thread's index while it works on a region

class Pool {
 public:
  explicit Pool(int count) : count_(count) { start(); }
  ~Pool() { stop(); }

  int count() const { return count_; }

  void resize(int count) {
    if (count == count_) return;
    stop();
    count_ = count;
    start();
  }

  void run(std::int64_t tasks, detail::TaskFunction function, void* context) {
    if (count_ == 1 || tasks == 1 || region_thread >= 0) {
      const int thread = std::max(0, region_thread);
      for (std::int64_t task = 0; task < tasks; ++task) function(context, task, thread);
      return;
    }
    function_ = function;
    context_ = context;
    fill_shares(shares_.get(), count_, 0, tasks);
    inside_.store(0, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      const std::lock_guard lock(mutex_);
      wake_.notify_all();
    }
    work(0);
    // No task is left, so only the workers that came in time are waited for: one that the system has not even started
    // yet (its processor is busy with somebody else) finds the region closed.
    if (inside_.fetch_or(kClosed, std::memory_order_acq_rel) == 0) return;
    for (int spin = 0; spin < kSpins; ++spin) {
      if (inside_.load(std::memory_order_acquire) == kClosed) return;
      relax();
    }
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return inside_.load(std::memory_order_acquire) == kClosed; });
  }

 private:
  void start() {
    stopping_ = false;
    shares_ = std::make_unique<Share[]>(static_cast<std::size_t>(count_));
    for (int index = 1; index < count_; ++index) workers_.emplace_back([this, index] { loop(index); });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1);
      wake_.notify_all();
    }
    for (auto& worker : workers_) worker.join();
    workers_.clear();
    seen_at_start_ = generation_.load();
  }

  void work(int thread) {
    region_thread = thread;
    for (std::int64_t task; (task = take_share(shares_.get(), count_, thread)) != Share::kNone;) {
      function_(context_, task, thread);
    }
    region_thread = -1;
  }

  /// Joins the open region; false when there is none (any more).
  bool enter() {
    int inside = inside_.load(std::memory_order_relaxed);
    while ((inside & kClosed) == 0) {
      if (inside_.compare_exchange_weak(inside, inside + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  void loop(int thread) {
    std::uint64_t seen = seen_at_start_;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) relax();
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        sleeping_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
        sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stopping_) return;
      if (!enter()) continue;
      work(thread);
      if (inside_.fetch_sub(1, std::memory_order_acq_rel) == (kClosed | 1)) {
        const std::lock_guard lock(mutex_);
        done_.notify_one();
      }
    }
  }

  int count_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<std::uint64_t> generation_{0};
  std::uint64_t seen_at_start_ = 0;
  static constexpr int kClosed = 1 << 30;
  std::atomic<int> inside_{kClosed};  ///< workers in the region, and kClosed when nobody may enter
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  detail::TaskFunction function_ = nullptr;
  void* context_ = nullptr;
  std::unique_ptr<Share[]> shares_;  ///< by thread
};

Pool& pool() {
  static Pool instance(available_processors());
  return instance;
}

}  // namespace

int threads() { return pool().count(); }
void set_threads(int count) { pool().resize(std::max(1, count)); }

void detail::run_tasks(std::int64_t tasks, TaskFunction function, void* context) {
  pool().run(tasks, function, context);
}

}  // namespace isoloss
