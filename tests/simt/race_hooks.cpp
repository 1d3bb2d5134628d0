// The functions that code compiled with -fsanitize=thread calls at its accesses to memory, in the place of the
// compiler's own runtime, which knows nothing of CUDA threads.
#include <cstring>

#include "tests/simt/race.h"

namespace simt {
namespace {

// The detector watches from the start of the program.
struct Installed {
  RaceDetector detector;
  Installed() { observer = &detector; }
};
Installed installed;

}  // namespace
}  // namespace simt

#define SIMT_SEEN(memory, bytes, how) \
  if (simt::in_kernel) simt::touch(memory, bytes, simt::Touch::how, __builtin_return_address(0))

#define SIMT_ACCESS(bytes)                                                                     \
  void __tsan_read##bytes(void* memory) { SIMT_SEEN(memory, bytes, read); }                    \
  void __tsan_write##bytes(void* memory) { SIMT_SEEN(memory, bytes, write); }                  \
  void __tsan_unaligned_read##bytes(void* memory) { SIMT_SEEN(memory, bytes, read); }          \
  void __tsan_unaligned_write##bytes(void* memory) { SIMT_SEEN(memory, bytes, write); }        \
  void __tsan_volatile_read##bytes(void* memory) { SIMT_SEEN(memory, bytes, read); }           \
  void __tsan_volatile_write##bytes(void* memory) { SIMT_SEEN(memory, bytes, write); }         \
  void __tsan_unaligned_volatile_read##bytes(void* memory) { SIMT_SEEN(memory, bytes, read); } \
  void __tsan_unaligned_volatile_write##bytes(void* memory) { SIMT_SEEN(memory, bytes, write); }

extern "C" {
SIMT_ACCESS(1)
SIMT_ACCESS(2)
SIMT_ACCESS(4)
SIMT_ACCESS(8)
SIMT_ACCESS(16)
void __tsan_read_range(void* memory, std::size_t bytes) { SIMT_SEEN(memory, bytes, read); }
void __tsan_write_range(void* memory, std::size_t bytes) { SIMT_SEEN(memory, bytes, write); }

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
unsigned char __tsan_atomic8_load(const volatile unsigned char* memory, int) { return *memory; }  // of static locals

// What code under watch calls in the place of the functions of <cstring> (cuda.h).
void* simt_memcpy(void* to, const void* from, std::size_t bytes) {
  SIMT_SEEN(from, bytes, read);
  SIMT_SEEN(to, bytes, write);
  return std::memcpy(to, from, bytes);
}
void* simt_memmove(void* to, const void* from, std::size_t bytes) {
  SIMT_SEEN(from, bytes, read);
  SIMT_SEEN(to, bytes, write);
  return std::memmove(to, from, bytes);
}
void* simt_memset(void* to, int byte, std::size_t bytes) {
  SIMT_SEEN(to, bytes, write);
  return std::memset(to, byte, bytes);
}
// What clang calls where it copies whole objects.
void* __tsan_memcpy(void*, const void*, std::size_t) __attribute__((alias("simt_memcpy")));
void* __tsan_memmove(void*, const void*, std::size_t) __attribute__((alias("simt_memmove")));
void* __tsan_memset(void*, int, std::size_t) __attribute__((alias("simt_memset")));
}
