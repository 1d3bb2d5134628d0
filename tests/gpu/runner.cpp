// Makes the kernel harness run `cuda` on a real GPU.
#include <cstdlib>
#include <memory>

#include "kernels/cuda/device.h"
#include "tests/gpu/gpu.h"
#include "tests/harness/op_launch.h"

namespace isoloss::test {

namespace {

class GpuRunner : public CudaRunner {
 public:
  GpuRunner()
      : device_(gpu()),
        stream_(device_->create_stream()),
        state_(static_cast<StepState*>(device_->allocate(sizeof(StepState)))) {}
  /// A GPU has its own order of threads: repetitions show that results do not depend on it.
  CudaContext& context(const StepState& state, int /*schedule*/) override {
    device_->copy(state_, &state, sizeof state, stream_);
    device_->synchronize(stream_);
    context_ = {.stream = stream_, .device = device_.get(), .state = state_, .tf32 = false};
    return context_;
  }
  /// For sanitizers, under which a launch takes a thousand times as long.
  bool launches_once() const override { return std::getenv("ISOLOSS_ONCE") != nullptr; }

 private:
  std::shared_ptr<CudaDevice> device_;
  CudaDevice::Stream stream_;
  StepState* state_;
  CudaContext context_;
};

}  // namespace

CudaRunner& cuda_runner() {
  static auto* const runner = new GpuRunner;  // never destroyed, as the device that it runs on
  return *runner;
}

}  // namespace isoloss::test
