// Owned host memory for tensors: zeroed, page-aligned, in huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <utility>

namespace isoloss {

class Buffer {
 public:
  Buffer() = default;
  /// Zeroed. Throws Error (exit 1) naming `what` and the size when the system refuses.
  Buffer(std::size_t bytes, const char* what);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  void* data() const { return data_; }
  std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(data_) + offset; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace isoloss
