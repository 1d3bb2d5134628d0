#include "tools/bench/operands.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/base/philox.h"
#include "kernels/core/bf16.h"

namespace isoloss::bench {

namespace {

// Numbers are drawn for this many elements and then repeated: a tensor of a gigabyte must not take a minute.
constexpr std::int64_t kDrawn = std::int64_t{1} << 20;

void put(std::byte* to, DType dtype, Philox& numbers, std::int64_t ids, bool positive) {
  if (dtype == DType::i32) {
    const auto id = static_cast<std::int32_t>(numbers.next() % static_cast<std::uint32_t>(ids));
    std::memcpy(to, &id, sizeof id);
    return;
  }
  const auto value = static_cast<float>(numbers.uniform() * 0.1 - (positive ? 0 : 0.05));
  const std::uint16_t narrow = bf16_bits(value);
  if (dtype == DType::bf16) {
    std::memcpy(to, &narrow, sizeof narrow);
  } else {
    std::memcpy(to, &value, sizeof value);
  }
}

}  // namespace

Tensor Operands::empty(const TensorType& type) {
  if (!type.present()) return {};
  buffers_.emplace_back(type.bytes(), "bench", machine_);
  return {buffers_.back().data(), type};
}

Tensor Operands::random(const TensorType& type, std::int64_t ids, bool positive) {
  const Tensor tensor = empty(type);
  if (!tensor) return tensor;
  Philox numbers(3, buffers_.size());
  const std::size_t size = bytes_of(type.dtype);
  std::vector<std::byte> drawn(static_cast<std::size_t>(std::min(tensor.count(), kDrawn)) * size);
  for (std::size_t at = 0; at < drawn.size(); at += size) put(drawn.data() + at, type.dtype, numbers, ids, positive);
  for (std::size_t at = 0; at < type.bytes(); at += drawn.size()) {
    machine_.to_machine(static_cast<std::byte*>(tensor.data) + at, drawn.data(),
                        std::min(drawn.size(), type.bytes() - at));
  }
  return tensor;
}

Tensor Operands::copy(const Tensor& tensor) {
  const Tensor made = empty(tensor.type);
  if (made) machine_.to_machine(made.data, tensor.data, tensor.type.bytes());  // from the device's memory just as well
  return made;
}

int copies_beyond_cache(const Machine& machine, double bytes) {
  if (machine.on_host()) return 1;
  constexpr double kCacheSizes = 3, kShareOfMemory = 0.25;
  const auto cache = static_cast<double>(machine.cuda().properties().l2_bytes);
  const auto memory = static_cast<double>(machine.cuda().free_memory());
  const double wanted = std::max(2.0, std::floor(kCacheSizes * cache / bytes) + 1);
  return static_cast<int>(std::max(1.0, std::min(wanted, std::floor(kShareOfMemory * memory / bytes))));
}

}  // namespace isoloss::bench
