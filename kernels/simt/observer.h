// What may watch kernels run: it hears of every access to memory that their own code makes and of everything that
// orders such accesses. The race detector (race.h) is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace simt {

enum class Touch : std::uint8_t {
  read,
  write,
  atomic,        ///< a read and a write that no other atomic falls between
  copy_started,  ///< the target of a cp.async, from its issue…
  copy_landed,   ///< … until the thread that issued it has waited
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void begin_grid() = 0;
  virtual void begin_block(unsigned threads) = 0;
  /// The running block got shared memory; `name` says which, for messages.
  virtual void shared_memory(const void* memory, std::size_t bytes, const char* name) = 0;
  /// All threads of the block have met in __syncthreads; `lanes` of a warp in __syncwarp.
  virtual void block_met() = 0;
  virtual void warp_met(unsigned warp, std::uint32_t lanes) = 0;
  /// The running thread touches memory; `code` is an address in the code that does.
  virtual void touch(const void* memory, std::size_t bytes, Touch how, const void* code) = 0;
  /// What is wrong with the grid that ran; "" when nothing is.
  virtual std::string end_grid() = 0;
};

/// The one observer, null where there is none; and whether a kernel's own code runs, as opposed to the executor's or
/// the host's, whose accesses are nobody's business.
inline Observer* observer = nullptr;
inline bool in_kernel = false;

/// The executor's own code, called from a kernel. Threads switch only in here, so the flag is right on every stack.
class ExecutorCode {
 public:
  ExecutorCode();  // in executor.cpp: code that is watched may not write the flag itself
  ~ExecutorCode();
  ExecutorCode(const ExecutorCode&) = delete;
  ExecutorCode& operator=(const ExecutorCode&) = delete;
};

/// What an instruction does to memory on behalf of the running thread.
inline void touch(const void* memory, std::size_t bytes, Touch how, const void* code) {
  if (observer != nullptr) observer->touch(memory, bytes, how, code);
}

}  // namespace simt
