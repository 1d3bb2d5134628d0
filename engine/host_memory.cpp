#include "engine/host_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include "kernels/base/error.h"

namespace isoloss {

std::shared_ptr<void> host_memory(std::size_t bytes, const char* what) {
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) {
    fail_run(what, fmt::format("{:.1f} MiB of memory", static_cast<double>(bytes) / 1048576.0),
             "a refusal by the system");
  }
  // A training step walks gigabytes; 4 KiB pages would spend a tenth of it on address translation. Small buffers keep
  // ordinary pages so that they do not take 2 MiB each.
  if (bytes >= (4u << 20)) ::madvise(map, bytes, MADV_HUGEPAGE);
  return {map, [bytes](void* memory) { ::munmap(memory, bytes); }};
}

}  // namespace isoloss
