// Host memory for tensors: zeroed, page-aligned, in huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <memory>

namespace isoloss {

/// `bytes` > 0. Throws Error (exit 1) naming `what` and the size when the system refuses.
std::shared_ptr<void> host_memory(std::size_t bytes, const char* what);

/// Bytes of memory that the machine has, swap space included, used or not.
std::size_t host_memory_of_machine();

}  // namespace isoloss
