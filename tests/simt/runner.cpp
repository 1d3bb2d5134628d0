// Makes the kernel harness run `cuda` on the host executor.
#include "simt/executor.h"
#include "simt/host_device.h"
#include "tests/harness/op_launch.h"

namespace isoloss::test {

namespace {

class SimtRunner : public CudaRunner {
 public:
  SimtRunner() : stream_(device_.create_stream()) {}

  CudaContext& context(const StepState& state, int schedule) override {
    static constexpr simt::Schedule kSchedules[] = {
        {simt::Order::forward, 1}, {simt::Order::reverse, 1}, {simt::Order::priority, 11}, {simt::Order::priority, 12}};
    simt::set_schedule(kSchedules[(schedule - 1) % 4]);
    context_ = {.stream = stream_, .device = &device_, .state = &state, .tf32 = false};
    return context_;
  }

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
