#include "kernels/gpu/ceilings.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/base/philox.h"
#include "kernels/core/bf16.h"

namespace isoloss {

namespace {

constexpr int kRuns = 25;

/// Memory and events of a device, for the length of a measurement.
class Bench {
 public:
  Bench(CudaDevice& device, CudaDevice::Stream stream)
      : device_(device), stream_(stream), begin_(device.create_event(true)), end_(device.create_event(true)) {}
  ~Bench() {
    for (void* memory : memory_) device_.release(memory);
    device_.destroy_event(begin_);
    device_.destroy_event(end_);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void* memory(std::size_t bytes) {
    memory_.push_back(device_.allocate(bytes));
    return memory_.back();
  }

  /// Numbers around 0: a product of zeros draws less power, and so runs faster than any real one.
  void* random(std::int64_t count, DType dtype) {
    std::vector<float> values(static_cast<std::size_t>(std::min<std::int64_t>(count, 1 << 20)));
    Philox numbers(7, 0);
    for (float& value : values) value = static_cast<float>(numbers.uniform() - 0.5);
    std::vector<std::uint16_t> narrow;
    for (const float value : values) narrow.push_back(bf16_bits(value));
    const void* const block = dtype == DType::bf16 ? static_cast<const void*>(narrow.data()) : values.data();
    auto* const to = static_cast<std::byte*>(memory(static_cast<std::size_t>(count) * bytes_of(dtype)));
    for (std::int64_t at = 0; at < count; at += static_cast<std::int64_t>(values.size())) {
      const auto take =
          static_cast<std::size_t>(std::min<std::int64_t>(static_cast<std::int64_t>(values.size()), count - at));
      device_.copy(to + static_cast<std::size_t>(at) * bytes_of(dtype), block, take * bytes_of(dtype), stream_);
    }
    device_.synchronize(stream_);
    return to;
  }

  /// Median seconds, after three runs to warm up.
  double time_of(const std::function<void()>& work) {
    for (int warm = 0; warm < 3; ++warm) work();
    std::vector<double> times;
    for (int run = 0; run < kRuns; ++run) {
      device_.record(begin_, stream_);
      work();
      device_.record(end_, stream_);
      device_.synchronize_event(end_);
      times.push_back(1e-3 * device_.milliseconds(begin_, end_));
    }
    std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
    return times[kRuns / 2];
  }

 private:
  CudaDevice& device_;
  CudaDevice::Stream stream_;
  CudaDevice::Event begin_, end_;
  std::vector<void*> memory_;
};

double product_rate(CudaDevice& device, CudaDevice::Stream stream, DType operands, bool tf32, std::int64_t size) {
  Bench bench(device, stream);
  Matmul product{.m = size, .n = size, .k = size, .operands = operands, .result = operands};
  product.tf32 = tf32;
  product.a = {.data = bench.random(size * size, operands), .row = size};
  product.b = {.data = bench.random(size * size, operands), .row = size};
  product.c = {.data = bench.memory(static_cast<std::size_t>(size * size) * bytes_of(operands)), .row = size};
  const double edge = static_cast<double>(size);
  return 2 * edge * edge * edge / bench.time_of([&] { device.matmul(product, stream); });
}

double copy_rate(CudaDevice& device, CudaDevice::Stream stream, std::size_t bytes) {
  Bench bench(device, stream);
  void* const from = bench.random(static_cast<std::int64_t>(bytes / sizeof(float)), DType::f32);
  void* const to = bench.memory(bytes);
  return 2 * static_cast<double>(bytes) / bench.time_of([&] { device.copy(to, from, bytes, stream); });
}

}  // namespace

Ceilings measure_ceilings(CudaDevice& device, CudaDevice::Stream stream, DType operands, bool tf32, std::int64_t size,
                          std::size_t copy_bytes) {
  const std::size_t half = device.free_memory() / 2;
  const auto fitting = static_cast<std::size_t>(size * size) * bytes_of(operands) * 3;
  for (std::size_t bytes = fitting; bytes > half && size > 1024; bytes /= 4) size /= 2;
  return {.flops_per_second = product_rate(device, stream, operands, tf32, size),
          .bytes_per_second = copy_rate(device, stream, std::min(copy_bytes, half / 2) / 4096 * 4096)};
}

}  // namespace isoloss
