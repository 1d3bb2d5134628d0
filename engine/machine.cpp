#include "engine/machine.h"

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/host_memory.h"
#include "kernels/base/error.h"

namespace isoloss {

/// A device with the stream of one model on it.
struct Machine::Cuda {
  Cuda(std::shared_ptr<CudaDevice> on, bool tf32) : device(std::move(on)), stream(device->create_stream()) {
    state = static_cast<StepState*>(device->allocate(sizeof(StepState)));
    context = {.stream = stream, .device = device.get(), .state = state, .tf32 = tf32};
  }
  Cuda(const Cuda&) = delete;
  Cuda& operator=(const Cuda&) = delete;
  ~Cuda() {
    device->release(state);
    device->destroy_stream(stream);
  }

  std::shared_ptr<CudaDevice> device;
  CudaDevice::Stream stream;
  StepState* state;
  CudaContext context;
  std::shared_ptr<void> slab;  ///< the one allocation, while anything of it is in use
  std::size_t slab_bytes = 0, slab_used = 0;
};

namespace {
constexpr std::size_t kAlignment = 256;  // what cudaMalloc promises, and what kernels take for granted

std::size_t aligned_bytes(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

double mebi(std::size_t bytes) { return static_cast<double>(bytes) / 1048576.0; }
}  // namespace

Machine::Machine(DeviceKind kind) : kind_(kind) {}
Machine::Machine(std::shared_ptr<CudaDevice> device, bool tf32)
    : kind_(DeviceKind::cuda), cuda_(std::make_shared<Cuda>(std::move(device), tf32)) {}

CudaDevice& Machine::cuda() const { return *cuda_->device; }
CudaDevice::Stream Machine::stream() const { return cuda_->stream; }
StepState* Machine::device_state() const { return cuda_ ? cuda_->state : nullptr; }

void Machine::reserve(std::size_t bytes) const {
  if (!cuda_) return;  // the host's memory is virtual: pieces cost nothing
  const std::shared_ptr<CudaDevice> device = cuda_->device;
  const std::size_t free = device->free_memory();
  if (bytes > free) {
    fail_run("device memory", fmt::format("{:.0f} MiB", mebi(bytes)), fmt::format("{:.0f} MiB free", mebi(free)));
  }
  cuda_->slab = {device->allocate(bytes), [device](void* memory) { device->release(memory); }};
  cuda_->slab_bytes = bytes;
  cuda_->slab_used = 0;
}

std::shared_ptr<void> Machine::allocate(std::size_t bytes, const char* what) const {
  if (bytes == 0) return nullptr;
  if (!cuda_) return host_memory(bytes, what);
  const std::size_t size = aligned_bytes(bytes);
  std::shared_ptr<void> memory;
  if (cuda_->slab && cuda_->slab_used + size <= cuda_->slab_bytes) {
    memory = {cuda_->slab, static_cast<std::byte*>(cuda_->slab.get()) + cuda_->slab_used};
    cuda_->slab_used += size;
  } else {
    const std::shared_ptr<CudaDevice> device = cuda_->device;
    try {
      memory = {device->allocate(size), [device](void* pointer) { device->release(pointer); }};
    } catch (const CudaFailure& failure) {
      fail_run(what, fmt::format("{:.1f} MiB of device memory", mebi(size)), failure.what());
    }
  }
  cuda_->device->fill(memory.get(), 0, size, cuda_->stream);
  cuda_->device->synchronize(cuda_->stream);  // other streams may use it from now on
  return memory;
}

DeviceContext Machine::context(const StepState& state, const Tensor& scratch) const {
  return {.kind = kind_, .scratch = scratch, .state = &state, .cuda = cuda_ ? &cuda_->context : nullptr};
}

void Machine::set_state(const StepState& state) const {
  if (cuda_) to_machine(cuda_->state, &state, sizeof state);
}

void Machine::to_machine(void* to, const void* from, std::size_t bytes) const {
  if (bytes == 0) return;
  if (!cuda_) {
    std::memcpy(to, from, bytes);
    return;
  }
  cuda_->device->copy(to, from, bytes, cuda_->stream);
  cuda_->device->synchronize(cuda_->stream);
}

void Machine::to_host(void* to, const void* from, std::size_t bytes) const { to_machine(to, from, bytes); }

void Machine::synchronize() const {
  if (cuda_) cuda_->device->synchronize(cuda_->stream);
}

void Machine::run(const OpDef& op, const Attributes& attributes, std::span<const Tensor> in,
                  std::span<const Tensor> out, const StepState& state, const Tensor& scratch) const {
  op.check(attributes);
  const std::vector<Mode> mode(out.size(), Mode::write);
  DeviceContext launch = context(state, scratch);
  launch_on(*this, op, op.name, launch, {in, out, mode, attributes});
}

void launch_on(const Machine& machine, const OpDef& op, const std::string& part, DeviceContext& context,
               const OpCall& call) {
  try {
    op.launcher(machine.kind())(context, call);
  } catch (const CudaFailure& failure) {
    std::string shapes;
    for (const Tensor& tensor : call.in) {
      if (tensor) shapes += (shapes.empty() ? "" : ", ") + tensor.type.text();
    }
    fail_run(part == op.name ? part : part + ": " + op.name, "a launch on " + shapes, failure.what());
  }
}

}  // namespace isoloss
