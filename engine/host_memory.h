// Host memory for tensors: zeroed, page-aligned, in huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <memory>

namespace isoloss {

/// `bytes` > 0. Throws Error (exit 1) naming `what` and the size when the system refuses.
std::shared_ptr<void> host_memory(std::size_t bytes, const char* what);

}  // namespace isoloss
