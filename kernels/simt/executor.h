// Runs CUDA kernels on the host: every CUDA thread is a fiber, blocks run one after another, one OS thread in all.
//
// Threads switch only where they must wait for others: at barriers and at warp-wide instructions. A schedule says which
// of the threads that could go on does; kernels must compute the same bits under all of them. What a GPU would leave
// undefined is an error that names the source line (a barrier that not all threads reach, lanes missing from a mask, a
// deadlock), or poison (shared memory starts as NaN, the target of cp.async is NaN until it was waited for).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

#include "kernels/cuda/device.h"
#include "kernels/simt/observer.h"

namespace simt {

#if __has_builtin(__builtin_source_location)
using Location = std::source_location;
#else  // clang 14
class Location {
 public:
  static constexpr Location current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    Location location;
    location.file_ = file, location.line_ = line;
    return location;
  }
  constexpr const char* file_name() const { return file_; }
  constexpr unsigned line() const { return line_; }

 private:
  const char* file_ = "";
  unsigned line_ = 0;
};
#endif

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

/// Which waiting thread runs next: the first, the last, or the one of the warp with the highest priority, where
/// priorities are drawn from the seed and redrawn at barriers.
enum class Order : std::uint8_t { forward, reverse, priority };
struct Schedule {
  Order order = Order::forward;
  std::uint64_t seed = 1;
};
void set_schedule(const Schedule& schedule);

/// What a kernel used that is worth a look in tests.
struct Counters {
  std::uint64_t blocks = 0, collectives = 0, ldmatrix = 0, bank_conflicts = 0;
};
Counters& counters();
/// Whether this program is compiled with AddressSanitizer.
bool sanitized();

/// Runs `body` once for every thread of the grid. Throws isoloss::CudaFailure, naming what is wrong and where.
void run_grid(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& body);

/// Runs the grid now, or records it where the stream (a HostStream, host_device.h) is being captured.
void launch(void* stream, Dim3 grid, Dim3 block, std::size_t shared_bytes, std::function<void()> body);

// For the dialect (cuda.h, ptx_host.h), inside kernels only.

enum class Collective : std::uint8_t { sync, shuffle, vote, ldmatrix, mma };

/// The lanes of a warp that meet in one instruction.
struct Meeting {
  std::uint32_t mask = 0;     ///< lanes that must come
  std::uint32_t arrived = 0;  ///< lanes that are there
  Collective kind = Collective::sync;
  Location where;
  void* in[32];
  void* out[32];
};
/// Waits until all lanes of `mask` are here; the last one runs `combine`.
void meet(std::uint32_t mask, Collective kind, const void* in, void* out, void (*combine)(Meeting&), Location where);
/// __syncthreads; returns the number of threads with a predicate that holds.
int block_barrier(bool predicate, Location where);

unsigned thread_number();  ///< in its block
unsigned lane();
bool on_a_stack(const void* memory);  ///< local variables of some thread
[[noreturn]] void fail(const std::string& what, Location where);

/// A __shared__ variable of the running block: made at its first use, of exactly its size, filled with NaN bytes.
struct SharedSite {
  std::uint64_t block = 0;
  void* memory = nullptr;
};
void make_shared(SharedSite& site, std::size_t bytes);
std::uint64_t current_block();
template <class T, class Tag>
T& shared_variable() {
  static SharedSite site;  // one for each declaration: Tag is a lambda's type
  if (site.block != current_block()) make_shared(site, sizeof(T));
  return *static_cast<T*>(site.memory);
}
void* dynamic_shared();

void copy_async(void* to, const void* from, int bytes, int valid_bytes, Location where);
void commit_copies();
void wait_copies(int groups_left);

}  // namespace simt

// What CUDA predefines in a kernel.
struct SimtIndex {
  unsigned x, y, z;
};
extern SimtIndex threadIdx, blockIdx;
extern simt::Dim3 blockDim, gridDim;
