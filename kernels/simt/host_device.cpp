#include "kernels/simt/host_device.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/core/bf16.h"
#include "kernels/simt/executor.h"

namespace simt {

using isoloss::CudaFailure;
using isoloss::DType;
using isoloss::Epilogue;
using isoloss::Matmul;

namespace {

float load(const void* from, DType dtype, std::int64_t at) {
  if (dtype == DType::bf16) return isoloss::bf16_value(static_cast<const std::uint16_t*>(from)[at]);
  return static_cast<const float*>(from)[at];
}

void store(float value, void* to, DType dtype, std::int64_t at) {
  if (dtype == DType::bf16) {
    static_cast<std::uint16_t*>(to)[at] = isoloss::bf16_bits(value);
  } else {
    static_cast<float*>(to)[at] = value;
  }
}

/// op(operand) of batch item `item`, widened and row-major.
std::vector<float> widened(const Matmul::Operand& operand, DType dtype, std::int64_t item, std::int64_t rows,
                           std::int64_t columns) {
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t at = operand.transposed ? c * operand.row + r : r * operand.row + c;
      values[static_cast<std::size_t>(r * columns + c)] = load(operand.data, dtype, item * operand.item + at);
    }
  }
  return values;
}

float gelu_tanh(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.79788456080286535588f * (x + 0.044715f * x * x * x)));
}

void multiply(const Matmul& call, std::int64_t item) {
  const std::vector<float> a = widened(call.a, call.operands, item, call.m, call.k);
  const std::vector<float> b = widened(call.b, call.operands, item, call.k, call.n);
  std::vector<float> sum(static_cast<std::size_t>(call.n));
  for (std::int64_t i = 0; i < call.m; ++i) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (std::int64_t k = 0; k < call.k; ++k) {
      add_multiple(a[static_cast<std::size_t>(i * call.k + k)], b.data() + k * call.n, call.n, sum.data());
    }
    for (std::int64_t j = 0; j < call.n; ++j) {
      const std::int64_t at = item * call.c.item + i * call.c.row + j;
      float value = call.alpha * sum[static_cast<std::size_t>(j)];
      if (call.bias != nullptr) value += load(call.bias, call.operands, j);
      if (call.epilogue == Epilogue::gelu_tanh) {
        if (call.aux != nullptr) store(value, call.aux, call.result, at);
        value = gelu_tanh(value);
      }
      // With beta = 0 the old contents are not read: they may be anything.
      if (call.beta != 0) value += call.beta * load(call.c.data, call.result, at);
      store(value, call.c.data, call.result, at);
    }
  }
}

double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

HostStream& stream_of(void* stream) { return *static_cast<HostStream*>(stream); }

using Recording = std::vector<std::function<void()>>;

}  // namespace

void HostStream::give(std::function<void()> work) {
  if (capturing) {
    recorded.push_back(std::move(work));
  } else {
    work();
  }
}

void launch(void* stream, Dim3 grid, Dim3 block, std::size_t shared_bytes, std::function<void()> body) {
  stream_of(stream).give([=] { run_grid(grid, block, shared_bytes, body); });
}

HostDevice::~HostDevice() = default;

void* HostDevice::allocate(std::size_t bytes) {
  if (bytes > free_memory()) throw CudaFailure("out of memory");
  void* memory = nullptr;
  if (::posix_memalign(&memory, 256, bytes > 0 ? bytes : 1) != 0) throw CudaFailure("out of memory");
  std::memset(memory, 0xFF, bytes);
  allocated_ += bytes, allocations += 1;
  sizes_[memory] = bytes;
  return memory;
}

void HostDevice::release(void* memory) {
  allocated_ -= sizes_.at(memory);
  sizes_.erase(memory);
  std::free(memory);
}

void* HostDevice::allocate_pinned(std::size_t bytes) { return std::malloc(bytes); }
void HostDevice::release_pinned(void* memory) { std::free(memory); }

isoloss::CudaDevice::Stream HostDevice::create_stream() { return new HostStream; }
void HostDevice::destroy_stream(Stream stream) { delete static_cast<HostStream*>(stream); }

void HostDevice::copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  stream_of(stream).give([=] { std::memcpy(to, from, bytes); });
}

void HostDevice::fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream) {
  stream_of(stream).give([=] { std::memset(to, byte, bytes); });
}

isoloss::CudaDevice::Event HostDevice::create_event(bool) { return new double(0); }
void HostDevice::destroy_event(Event event) { delete static_cast<double*>(event); }
void HostDevice::record(Event event, Stream stream) {
  stream_of(stream).give([event] { *static_cast<double*>(event) = now_milliseconds(); });
}
double HostDevice::milliseconds(Event from, Event to) {
  return *static_cast<double*>(to) - *static_cast<double*>(from);
}

isoloss::CudaDevice::CapturedGraph HostDevice::capture(Stream stream, const std::function<void()>& work) {
  HostStream& host = stream_of(stream);
  host.capturing = true;
  host.recorded.clear();
  work();
  host.capturing = false;
  return new Recording(std::move(host.recorded));
}

void HostDevice::replay(CapturedGraph graph, Stream) {
  launches_replayed += 1;
  for (const auto& work : *static_cast<Recording*>(graph)) work();
}

void HostDevice::destroy_graph(CapturedGraph graph) { delete static_cast<Recording*>(graph); }

void HostDevice::matmul(const Matmul& call, Stream stream) {
  stream_of(stream).give([call] {
    for (std::int64_t item = 0; item < call.batch; ++item) multiply(call, item);
  });
}

}  // namespace simt
