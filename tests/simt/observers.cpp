// What watches a step on the cuda device: the check against ref, and the profile of the captured step.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "engine/checker.h"
#include "engine/profiler.h"
#include "engine/step_runner.h"
#include "models/transformer.h"
#include "simt/host_device.h"
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

/// A model on a device, and what feeds it.
struct Running {
  Running(const ModelSpec& spec, Precision precision, const std::shared_ptr<CudaDevice>& device)
      : config(twenty_steps(spec)),
        model((config.run.precision = precision, TrainingPlan(model_graphs(spec), config, DeviceKind::cuda)), config,
              Machine(device, /*tf32=*/false)),
        vocab(spec.vocab) {
    model.store().initialise(1);
  }
  void step(StepRunner& steps, std::int64_t number) {
    StepState state{.seed = 1, .step = number};
    model.optimizer().prepare(state, 1.0);
    steps.submit(state, [&](int micro, std::int32_t* ids, std::int32_t* targets) {
      const auto count = model.training().tensor("ids").count();
      for (std::int64_t i = 0; i < count; ++i) {
        ids[i] = static_cast<std::int32_t>((7 * i + 3 * micro + number) % vocab);
        targets[i] = static_cast<std::int32_t>((7 * i + 7 + 3 * micro + number) % vocab);
      }
    });
  }

  RunConfig config;
  TrainingModel model;
  std::int64_t vocab;
};

}  // namespace

TEST_CASE("check: every toggle's operations on cuda are as near to ref as rounding allows") {
  for (const TrainingVariant& variant : training_variants()) {
    CAPTURE(variant.name);
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      ModelSpec spec = tiny_spec();
      variant.change(spec);
      Running running(spec, precision, std::make_shared<simt::HostDevice>());
      Checker checker;
      running.model.training().set_observer(&checker);
      const auto steps = make_step_runner(running.model);
      running.step(*steps, 0);
      CHECK(steps->next(/*drain=*/true).has_value());
    }
  }
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

TEST_CASE("profile: every operation of the captured step is timed once a step") {
  Running running(tiny_spec(), Precision::bf16, std::make_shared<simt::HostDevice>());
  Profiler profiler(running.model.machine());
  running.model.training().set_observer(&profiler);
  running.model.optimizer().set_observer(&profiler);
  const auto steps = make_step_runner(running.model);
  for (std::int64_t number = 0; number < 3; ++number) {
    running.step(*steps, number);
    CHECK(steps->next(/*drain=*/false).has_value());  // not a step late: events are read before the next replay
  }
  const std::string table = profiler.table(3, {.flops_per_second = 1e9, .bytes_per_second = 1e9});
  CAPTURE(table);
  const auto calls_of = [&](std::string_view row) {
    const auto at = table.find(row);
    REQUIRE(at != std::string::npos);
    return std::stoi(table.substr(at + 42, 8));
  };
  CHECK(calls_of("attention_flash attn") == 4);  // two layers, two micro-batches
  CHECK(calls_of("adamw ") == 1);
  CHECK(calls_of("global_norm ") == 1);
  CHECK(table.find("nan") == std::string::npos);
}

}  // namespace isoloss::test
