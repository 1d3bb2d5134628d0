// Owned, zeroed memory for tensors, on whatever a model computes on.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/machine.h"

namespace isoloss {

class Buffer {
 public:
  Buffer() = default;
  /// Throws Error (exit 1) naming `what` and the size when there is not so much memory.
  Buffer(std::size_t bytes, const char* what, const Machine& machine = DeviceKind::cpu)
      : memory_(machine.allocate(bytes, what)), bytes_(bytes) {}
  Buffer(Buffer&&) noexcept = default;
  Buffer& operator=(Buffer&&) noexcept = default;

  void* data() const { return memory_.get(); }
  std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(memory_.get()) + offset; }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return memory_ != nullptr; }

 private:
  std::shared_ptr<void> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace isoloss
