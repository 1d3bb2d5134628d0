#include "kernels/simt/executor.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

#include "kernels/base/sanitized.h"
#include "kernels/simt/fiber.h"

SimtIndex threadIdx, blockIdx;
simt::Dim3 blockDim, gridDim;

namespace simt {

namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr std::size_t kMaxShared = 227 * 1024, kMaxStaticShared = 48 * 1024;
#if defined(ISOLOSS_ADDRESS_SANITIZED)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr std::size_t kStack = (kSanitized ? 256 : 64) * 1024;
constexpr std::size_t kGuard = 4096;  // below each stack, so that an overflow ends the program

struct Copy {
  void* to;
  const void* from;
  int bytes, valid_bytes;
  const void* code;  ///< the instruction
};

struct Thread {
  Fiber fiber;
  SimtIndex index{};
  unsigned number = 0;
  bool done = false;
  const char* waits_in = nullptr;
  Location waits_at;
  void* stack = nullptr;
  std::vector<Copy> copies;         ///< issued, not waited for
  std::vector<std::size_t> groups;  ///< how many of them lie before each commit
};

struct PendingMeeting : Meeting {
  void (*combine)(Meeting&) = nullptr;
};

struct Warp {
  std::uint32_t live = 0;
  std::uint32_t ready = 0;
  PendingMeeting meetings[4];  ///< more disjoint masks at a time have no use here
};

/// The one grid that runs. Kernels find their surroundings in global variables, as on a GPU.
struct Grid {
  Schedule schedule;
  Counters counters;
  Fiber host;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<unsigned> priority;  ///< warps, the most urgent first
  char* stacks = nullptr;          ///< of kMaxThreads threads
  unsigned size = 0, live = 0;
  const std::function<void()>* body = nullptr;
  Thread* current = nullptr;
  bool running = false;
  std::string error;
  std::uint64_t random = 1, block = 0;
  std::vector<void*> shared;
  std::size_t static_shared = 0, dynamic_bytes = 0;
  void* dynamic = nullptr;
  unsigned at_barrier = 0;
  int predicates = 0, predicate_result = 0;
  Location barrier_at;

  std::uint64_t draw() {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return random;
  }
};
Grid g;

const char* name_of(Collective kind) {
  switch (kind) {
    case Collective::sync:
      return "__syncwarp";
    case Collective::shuffle:
      return "a shuffle";
    case Collective::vote:
      return "a vote";
    case Collective::ldmatrix:
      return "ldmatrix";
    case Collective::mma:
      return "mma.sync";
  }
  return "";
}

std::string text(const Location& where) {
  const std::string_view path = where.file_name();
  const auto slash = path.rfind('/');
  return fmt::format("{}:{}", slash == std::string_view::npos ? path : path.substr(slash + 1), where.line());
}

bool same(const Location& a, const Location& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

void wake(unsigned thread) { g.warps[thread / 32].ready |= 1u << (thread % 32); }

void redraw_priorities() {
  for (std::size_t i = g.priority.size(); i > 1; --i) std::swap(g.priority[i - 1], g.priority[g.draw() % i]);
}

/// The next thread to run, by the schedule; null when none can.
Thread* pick() {
  const bool last = g.schedule.order == Order::reverse;
  for (std::size_t i = 0; i < g.warps.size(); ++i) {
    const std::size_t w = g.schedule.order == Order::priority ? g.priority[i] : last ? g.warps.size() - 1 - i : i;
    Warp& warp = g.warps[w];
    if (warp.ready == 0) continue;
    const int bit = last ? 31 - __builtin_clz(warp.ready) : __builtin_ctz(warp.ready);
    warp.ready &= ~(1u << bit);
    return &g.threads[w * 32 + static_cast<std::size_t>(bit)];
  }
  return nullptr;
}

/// Gives the processor away; comes back when the schedule picks `from` again.
void reschedule(Fiber& from, bool ends) {
  Thread* next = g.error.empty() ? pick() : nullptr;
  g.current = next;
  if (next != nullptr) threadIdx = next->index;
  Fiber& to = next != nullptr ? next->fiber : g.host;
  if (&to != &from) switch_fiber(from, to, ends);
}

void block_current(const char* what, Location where) {
  Thread& thread = *g.current;
  thread.waits_in = what, thread.waits_at = where;
  reschedule(thread.fiber, false);
  thread.waits_in = nullptr;
}

/// Lets the schedule decide again although the current thread could go on.
void yield_current() {
  if (g.schedule.order == Order::forward) return;  // the first thread goes on anyway until it must wait
  wake(g.current->number);
  reschedule(g.current->fiber, false);
}

bool complete(Warp& warp, unsigned number, PendingMeeting& meeting, std::uint32_t without) {
  const std::uint32_t needed = meeting.mask & warp.live;
  if ((meeting.arrived & needed) != needed) return false;
  if (meeting.combine != nullptr) meeting.combine(meeting);
  if (observer != nullptr && meeting.kind == Collective::sync) observer->warp_met(number, meeting.arrived);
  g.counters.collectives += 1;
  g.warps[number].ready |= meeting.arrived & ~without;
  meeting.mask = 0;
  return true;
}

void open_barrier() {
  g.predicate_result = g.predicates;
  g.at_barrier = 0, g.predicates = 0;
  if (observer != nullptr) observer->block_met();
  for (unsigned t = 0; t < g.size; ++t) {
    Thread& thread = g.threads[t];
    if (!thread.done && &thread != g.current) wake(t);
  }
  if (g.schedule.order == Order::priority) redraw_priorities();
}

void finish_copy(const Copy& copy) {
  std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.valid_bytes));
  std::memset(static_cast<char*>(copy.to) + copy.valid_bytes, 0,
              static_cast<std::size_t>(copy.bytes - copy.valid_bytes));
  touch(copy.from, static_cast<std::size_t>(copy.valid_bytes), Touch::read, copy.code);
  touch(copy.to, static_cast<std::size_t>(copy.bytes), Touch::copy_landed, copy.code);
}

void thread_main() {
  fiber_entered(g.host);
  in_kernel = true;
  try {
    (*g.body)();
    in_kernel = false;
  } catch (const std::exception& failure) {
    in_kernel = false;
    if (g.error.empty()) g.error = failure.what();
  }
  Thread& thread = *g.current;
  thread.done = true;
  if (g.error.empty() && !thread.copies.empty()) {
    g.error = fmt::format("thread {} ends with a cp.async that it never waited for", thread.number);
  }
  g.live -= 1;
  Warp& warp = g.warps[thread.number / 32];
  warp.live &= ~(1u << (thread.number % 32));
  // Whoever waits for this thread waits no more: exited threads do not count.
  for (PendingMeeting& meeting : warp.meetings) {
    if (meeting.mask != 0) complete(warp, thread.number / 32, meeting, 0);
  }
  if (g.live > 0 && g.at_barrier == g.live) open_barrier();
  reschedule(thread.fiber, true);
  std::abort();  // nobody resumes a finished thread
}

void make_threads(unsigned count) {
  if (g.stacks == nullptr) {
    g.threads.reserve(kMaxThreads);  // fibers hold pointers into it
    void* memory = ::mmap(nullptr, kMaxThreads * (kGuard + kStack), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    g.stacks = static_cast<char*>(memory);
  }
  while (g.threads.size() < count) {
    char* const guard = g.stacks + g.threads.size() * (kGuard + kStack);
    ::mprotect(guard, kGuard, PROT_NONE);
    g.threads.emplace_back();
    g.threads.back().stack = guard + kGuard;
  }
}

void* poisoned(std::size_t bytes) {
  void* memory = nullptr;
  if (::posix_memalign(&memory, 1024, bytes) != 0) throw std::bad_alloc();
  std::memset(memory, 0xFF, bytes);
  return memory;
}

std::string deadlock() {
  std::string what = "deadlock:";
  int shown = 0;
  const Thread* before = nullptr;
  for (unsigned t = 0; t < g.size && shown < 4; ++t) {
    const Thread& thread = g.threads[t];
    if (thread.done || thread.waits_in == nullptr) continue;
    if (before == nullptr || !same(before->waits_at, thread.waits_at)) {
      what += fmt::format("{} thread {} waits in {} at {}", shown > 0 ? "," : "", t, thread.waits_in,
                          text(thread.waits_at));
      ++shown;
    }
    before = &thread;
  }
  return what;
}

void run_block(unsigned threads, std::size_t shared_bytes) {
  g.block += 1, g.counters.blocks += 1;
  g.size = g.live = threads;
  g.at_barrier = 0, g.predicates = 0, g.static_shared = 0;
  g.warps.assign((threads + 31) / 32, Warp{});
  g.priority.resize(g.warps.size());
  for (std::size_t w = 0; w < g.priority.size(); ++w) g.priority[w] = static_cast<unsigned>(w);
  redraw_priorities();
  if (observer != nullptr) observer->begin_block(threads);
  g.dynamic = shared_bytes > 0 ? poisoned(shared_bytes) : nullptr;
  g.dynamic_bytes = shared_bytes;
  if (observer != nullptr && shared_bytes > 0) observer->shared_memory(g.dynamic, shared_bytes, "dynamic");
  for (unsigned t = 0; t < threads; ++t) {
    Thread& thread = g.threads[t];
    thread.number = t, thread.done = false, thread.waits_in = nullptr;
    thread.copies.clear(), thread.groups.clear();
    thread.index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    start_fiber(thread.fiber, thread.stack, kStack, thread_main, t * 832 % 8192);
    g.warps[t / 32].live |= 1u << (t % 32);
    wake(t);
  }
  reschedule(g.host, false);
  if (g.error.empty() && g.live > 0) g.error = deadlock();
  for (void* memory : g.shared) std::free(memory);
  g.shared.clear();
  std::free(g.dynamic);
  g.dynamic = nullptr;
}

}  // namespace

ExecutorCode::ExecutorCode() { in_kernel = false; }
ExecutorCode::~ExecutorCode() { in_kernel = true; }

void set_schedule(const Schedule& schedule) { g.schedule = schedule; }
Counters& counters() { return g.counters; }
bool sanitized() { return kSanitized; }
unsigned thread_number() { return g.current->number; }
unsigned lane() { return g.current->number % 32; }
bool on_a_stack(const void* memory) {
  const auto place = static_cast<std::size_t>(static_cast<const char*>(memory) - g.stacks);
  return place < kMaxThreads * (kGuard + kStack);
}
std::uint64_t current_block() { return g.block; }
void* dynamic_shared() { return g.dynamic; }

void fail(const std::string& what, Location where) {
  throw isoloss::CudaFailure(fmt::format("{} at {}, block ({}, {}, {}), thread {}", what, text(where), blockIdx.x,
                                         blockIdx.y, blockIdx.z, g.current != nullptr ? g.current->number : 0));
}

void make_shared(SharedSite& site, std::size_t bytes) {
  const ExecutorCode here;
  g.static_shared += bytes;
  if (g.static_shared > kMaxStaticShared) fail("more than 48 KiB of static shared memory", Location::current());
  if (g.static_shared + g.dynamic_bytes > kMaxShared) {
    fail("more than 227 KiB of static and dynamic shared memory", Location::current());
  }
  site.memory = poisoned(bytes);
  site.block = g.block;
  g.shared.push_back(site.memory);
  if (observer != nullptr) observer->shared_memory(site.memory, bytes, "static");
}

void meet(std::uint32_t mask, Collective kind, const void* in, void* out, void (*combine)(Meeting&), Location where) {
  const ExecutorCode here;
  const unsigned number = g.current->number / 32, self = lane();
  Warp& warp = g.warps[number];
  if ((mask >> self & 1) == 0) fail(fmt::format("{} by a lane that its mask leaves out", name_of(kind)), where);
  PendingMeeting* meeting = nullptr;
  for (PendingMeeting& pending : warp.meetings) {
    if ((pending.mask & mask) == 0) continue;
    if (pending.mask != mask || pending.kind != kind || !same(pending.where, where)) {
      fail(fmt::format("{} while other lanes of the warp wait in {} at {}", name_of(kind), name_of(pending.kind),
                       text(pending.where)),
           where);
    }
    meeting = &pending;
  }
  for (PendingMeeting& free : warp.meetings) {
    if (meeting != nullptr || free.mask != 0) continue;
    meeting = &free;
    meeting->mask = mask, meeting->arrived = 0, meeting->kind = kind, meeting->where = where;
    meeting->combine = combine;
  }
  if (meeting == nullptr) fail("too many groups of lanes that wait apart", where);
  meeting->in[self] = const_cast<void*>(in);
  meeting->out[self] = out;
  meeting->arrived |= 1u << self;
  if (complete(warp, number, *meeting, 1u << self)) return yield_current();
  block_current(name_of(kind), where);
}

int block_barrier(bool predicate, Location where) {
  const ExecutorCode here;
  if (g.at_barrier > 0 && !same(g.barrier_at, where)) {
    fail("__syncthreads while other threads of the block wait at " + text(g.barrier_at), where);
  }
  g.barrier_at = where;
  g.at_barrier += 1;
  g.predicates += predicate ? 1 : 0;
  if (g.at_barrier == g.live) {
    open_barrier();
    const int result = g.predicate_result;
    yield_current();
    return result;
  }
  block_current("__syncthreads", where);
  return g.predicate_result;
}

void copy_async(void* to, const void* from, int bytes, int valid_bytes, Location where) {
  const ExecutorCode here;
  const void* const code = __builtin_return_address(0);
  const auto misaligned = [&](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(bytes) != 0;
  };
  // An address that nothing is read from must be aligned all the same.
  if (misaligned(to) || misaligned(from)) fail("a misaligned cp.async", where);
  touch(from, static_cast<std::size_t>(valid_bytes), Touch::read, code);
  touch(to, static_cast<std::size_t>(bytes), Touch::copy_started, code);
  std::memset(to, 0xFF, static_cast<std::size_t>(bytes));  // NaN until it was waited for
  g.current->copies.push_back({to, from, bytes, valid_bytes, code});
}

void commit_copies() {
  const ExecutorCode here;
  g.current->groups.push_back(g.current->copies.size());
}

void wait_copies(int groups_left) {
  const ExecutorCode here;
  Thread& thread = *g.current;
  const auto left = static_cast<std::size_t>(groups_left);
  if (thread.groups.size() <= left) return;
  const std::size_t finished = thread.groups.size() - left, copies = thread.groups[finished - 1];
  for (std::size_t i = 0; i < copies; ++i) finish_copy(thread.copies[i]);
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<std::ptrdiff_t>(copies));
  thread.groups.erase(thread.groups.begin(), thread.groups.begin() + static_cast<std::ptrdiff_t>(finished));
  for (std::size_t& group : thread.groups) group -= copies;
}

void run_grid(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  if (threads == 0 || threads > kMaxThreads || block.z > 64 || blocks == 0 || grid.x > 2147483647u || grid.y > 65535 ||
      grid.z > 65535) {
    throw isoloss::CudaFailure(fmt::format("a launch of {}x{}x{} blocks of {}x{}x{} threads", grid.x, grid.y, grid.z,
                                           block.x, block.y, block.z));
  }
  if (shared_bytes > kMaxShared) throw isoloss::CudaFailure(fmt::format("{} bytes of shared memory", shared_bytes));
  if (g.running) throw isoloss::CudaFailure("a launch from inside a kernel");
  make_threads(static_cast<unsigned>(threads));
  g.running = true;
  g.error.clear();
  if (observer != nullptr) observer->begin_grid();
  g.body = &body;
  g.random = g.schedule.seed * 0x9E3779B97F4A7C15u | 1;
  blockDim = block, gridDim = grid;
  for (std::uint64_t i = 0; i < blocks && g.error.empty(); ++i) {
    // Blocks run in an order that no kernel may rely on either.
    const std::uint64_t b = g.schedule.order == Order::forward ? i : blocks - 1 - i;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                static_cast<unsigned>(b / (std::uint64_t{grid.x} * grid.y))};
    run_block(static_cast<unsigned>(threads), shared_bytes);
  }
  g.running = false;
  if (observer != nullptr) {
    // A race may be the cause of whatever else went wrong.
    if (std::string race = observer->end_grid(); !race.empty()) g.error = std::move(race);
  }
  if (!g.error.empty()) throw isoloss::CudaFailure(g.error);
}

}  // namespace simt
