// What watches a step on the cuda device: the check against ref, and the profile of the captured step.
#include <doctest/doctest.h>

#include <memory>

#include "engine/checker.h"
#include "kernels/simt/host_device.h"
#include "tests/harness/cuda_training.h"
#include "tests/harness/files.h"

namespace isoloss::test {
namespace {

/// A device whose products of `k` summands come out a twentieth too large.
class SpoiledDevice : public simt::HostDevice {
 public:
  explicit SpoiledDevice(std::int64_t k) : k_(k) {}
  void matmul(const Matmul& call, Stream stream) override {
    Matmul spoiled = call;
    if (call.k == k_) spoiled.alpha *= 1.05f;
    HostDevice::matmul(spoiled, stream);
  }

 private:
  std::int64_t k_;
};

/// A device that fails while a step runs, as after a bad access to memory: every wait from then on says so.
class FailingDevice : public simt::HostDevice {
 public:
  void synchronize(Stream) override { expect_alive(); }
  void synchronize_event(Event) override { expect_alive(); }
  bool failed = false;

 private:
  void expect_alive() const {
    if (failed) throw CudaFailure("an illegal memory access was encountered");
  }
};

}  // namespace

TEST_CASE("check: every toggle's operations on cuda are as near to ref as rounding allows") {
  check_every_operation([] { return std::make_shared<simt::HostDevice>(); });
}

TEST_CASE("check: a product that is a twentieth off is found and named") {
  const ModelSpec spec = tiny_spec();
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    // Depth 4 · width: the projection back from the hidden layer, forward.
    Running running(spec, precision, std::make_shared<SpoiledDevice>(4 * spec.width));
    Checker checker;
    running.model.training().set_observer(&checker);
    const auto steps = make_step_runner(running.model);
    const std::string error = error_of([&] { running.step(*steps, 0); });
    CAPTURE(error);
    CHECK(error.find("mlp.c_proj") != std::string::npos);
    CHECK(error.find(": linear.y] expected ") != std::string::npos);
  }
}

TEST_CASE("a device that fails in a step is one line of error, and the end of the run is in order") {
  const auto device = std::make_shared<FailingDevice>();
  Running running(tiny_spec(), Precision::fp32, device);
  auto steps = make_step_runner(running.model);
  running.step(*steps, 0);
  device->failed = true;
  CHECK(error_of([&] { steps->next(/*drain=*/true); }) ==
        "1 [cuda] expected the device to finish a step, got an illegal memory access was encountered");
  steps.reset();  // waits for the device, which answers with the failure again
}

TEST_CASE("profile: every operation of a step is timed once, captured or not") {
  for (const bool captured : {true, false}) check_profile(std::make_shared<simt::HostDevice>(), captured);
}

}  // namespace isoloss::test
