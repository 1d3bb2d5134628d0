// Memory for what is measured: tensors on a machine, empty or filled at random.
#pragma once

#include <cstdint>
#include <deque>

#include "engine/buffer.h"

namespace isoloss::bench {

/// Owns tensors; they live as long as it does.
class Operands {
 public:
  explicit Operands(Machine machine) : machine_(std::move(machine)) {}
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  const Machine& machine() const { return machine_; }
  /// Zeroed; absent where the type is.
  Tensor empty(const TensorType& type);
  /// Small numbers around 0 (from 0 on where `positive`), or ids below `ids`.
  Tensor random(const TensorType& type, std::int64_t ids = 1, bool positive = false);
  /// The same contents in memory of its own.
  Tensor copy(const Tensor& tensor);

 private:
  Machine machine_;
  std::deque<Buffer> buffers_;
};

/// How many copies of operands of `bytes` take turns, so that a device's second-level cache serves none of them: at
/// least two, of together three times its size, and no more than `free_memory` / 4 holds. One on the host.
int copies_beyond_cache(const Machine& machine, double bytes);

}  // namespace isoloss::bench
