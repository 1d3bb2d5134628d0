// Makes the kernel harness run `cuda` on the host executor.
#include "kernels/simt/host_device.h"
#include "tests/harness/op_launch.h"
#include "tests/simt/schedules.h"

namespace isoloss::test {

namespace {

class SimtRunner : public CudaRunner {
 public:
  SimtRunner() : stream_(device_.create_stream()) {}

  CudaContext& context(const StepState& state, int schedule) override {
    simt::set_schedule(simt::kSchedules[(schedule - 1) % 4]);
    context_ = {.stream = stream_, .device = &device_, .state = &state, .tf32 = false};
    return context_;
  }
  bool watches_memory() const override { return simt::observer != nullptr || simt::sanitized(); }

 private:
  simt::HostDevice device_;
  CudaDevice::Stream stream_;
  CudaContext context_;
};

}  // namespace

CudaRunner& cuda_runner() {
  static SimtRunner runner;
  return runner;
}

}  // namespace isoloss::test
