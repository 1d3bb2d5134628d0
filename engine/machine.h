// What a model computes on: the process's own memory and threads, or a CUDA device with its memory and stream.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "kernels/core/op.h"
#include "kernels/cuda/device.h"

namespace isoloss {

/// A handle; copies mean the same machine.
class Machine {
 public:
  /// `ref` or `cpu`. Implicit, so that whatever takes a machine takes a kind of host device as well.
  Machine(DeviceKind kind);  // NOLINT(google-explicit-constructor)
  /// `cuda`. With `tf32`, products of float32 may run on tensor cores.
  Machine(std::shared_ptr<CudaDevice> device, bool tf32);

  DeviceKind kind() const { return kind_; }
  bool on_host() const { return kind_ != DeviceKind::cuda; }
  CudaDevice& cuda() const;           ///< only where not on_host()
  CudaDevice::Stream stream() const;  ///< only where not on_host()

  /// Makes one allocation that later buffers come from, so that a model's memory is one piece.
  void reserve(std::size_t bytes) const;
  /// Zeroed memory; nothing is read here on the host when it is a device's. 256-byte aligned.
  std::shared_ptr<void> allocate(std::size_t bytes, const char* what) const;

  /// What launches need. `state` must outlive them on the host; kernels read the copy that set_state() made.
  DeviceContext context(const StepState& state, const Tensor& scratch) const;
  /// Puts `state` where kernels read it, before what is launched next; done when it returns.
  void set_state(const StepState& state) const;
  /// Where kernels read the step state: the device's memory on cuda, null on the host.
  StepState* device_state() const;

  /// Copies between the host's memory and the machine's, done when they return; `bytes` of zero is fine.
  void to_machine(void* to, const void* from, std::size_t bytes) const;
  void to_host(void* to, const void* from, std::size_t bytes) const;
  void synchronize() const;

  /// Runs one op outside a graph.
  void run(const OpDef& op, const Attributes& attributes, std::span<const Tensor> in, std::span<const Tensor> out,
           const StepState& state, const Tensor& scratch) const;

 private:
  struct Cuda;
  DeviceKind kind_;
  std::shared_ptr<Cuda> cuda_;
};

/// A named range in NVIDIA's profilers while it lives; nothing on the host.
class ProfilerRange {
 public:
  ProfilerRange(const Machine& machine, const std::string& name)
      : device_(machine.on_host() ? nullptr : &machine.cuda()) {
    if (device_ != nullptr) device_->push_range(name.c_str());
  }
  ~ProfilerRange() {
    if (device_ != nullptr) device_->pop_range();
  }
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;

 private:
  CudaDevice* device_;
};

/// The launcher of `op` on this machine with its failures named: `[part: op] expected a launch …` and the shapes.
void launch_on(const Machine& machine, const OpDef& op, const std::string& part, DeviceContext& context,
               const OpCall& call);

}  // namespace isoloss
