// The whole cuda device on the host executor: models train on it as on ref, reproducibly, from one allocation.
#include <doctest/doctest.h>

#include <memory>

#include "engine/checker.h"
#include "engine/profiler.h"
#include "engine/trainer.h"
#include "kernels/base/error.h"
#include "kernels/simt/executor.h"
#include "kernels/simt/host_device.h"
#include "models/transformer.h"
#include "tests/harness/cuda_training.h"
#include "tests/harness/files.h"
#include "tests/harness/two_losses.h"

namespace isoloss::test {
namespace {

Machine machine_on(const std::shared_ptr<simt::HostDevice>& device) { return {device, /*tf32=*/false}; }

}  // namespace

TEST_CASE("training: every toggle follows ref in float32 and in bf16") {
  for (const TrainingVariant& variant : training_variants()) {
    std::vector<std::shared_ptr<simt::HostDevice>> devices;
    check_follows_ref(variant, [&] {
      devices.push_back(std::make_shared<simt::HostDevice>());
      return machine_on(devices.back());
    });
    for (const auto& device : devices) CHECK(device->launches_replayed == 20);
  }
}

TEST_CASE("training: two losses, and a metric that comes back with each step") {
  check_metrics([] { return machine_on(std::make_shared<simt::HostDevice>()); });
}

TEST_CASE("training: the same without the library's epilogues") {
  check_follows_ref(training_variants().back(), [] {
    const auto device = std::make_shared<simt::HostDevice>();
    device->epilogues = false;
    return machine_on(device);
  });
}

TEST_CASE("training: the same bits again, in another order of threads, and after a resume") {
  constexpr simt::Schedule kSchedules[] = {
      {simt::Order::forward, 1}, {simt::Order::priority, 5}, {simt::Order::reverse, 1}, {simt::Order::forward, 1}};
  check_repeats_and_resumes([&](int run) {
    simt::set_schedule(kSchedules[run]);
    return machine_on(std::make_shared<simt::HostDevice>());
  });
}

TEST_CASE("training: a model's memory is one allocation, and too large a model says so before it starts") {
  const ModelSpec spec = tiny_spec();
  RunConfig config = twenty_steps(spec);
  config.run.precision = Precision::bf16;
  const auto device = std::make_shared<simt::HostDevice>();
  const Machine machine = machine_on(device);
  const int before = device->allocations;
  TrainingPlan plan(model_graphs(spec), config, DeviceKind::cuda);
  const std::size_t planned = plan.total_bytes();
  const TrainingModel model(std::move(plan), config, machine);
  CHECK(device->allocations == before + 1);

  const auto small = std::make_shared<simt::HostDevice>();
  const Machine tight = machine_on(small);
  small->memory_limit = planned / 2;
  CHECK(error_of([&] {
          TrainingModel(TrainingPlan(model_graphs(spec), config, DeviceKind::cuda), config, tight);
        }).find("[device memory] expected") != std::string::npos);

  // The program asks before anything is there, and says what would fit: one sequence instead of two, and not both.
  const ModelGraphs graphs = model_graphs(spec);
  const TrainingPlan two(graphs, config, DeviceKind::cuda);
  config.run.micro_batch = 1;
  const TrainingPlan one(graphs, config, DeviceKind::cuda);
  config.run.micro_batch = 2;
  constexpr std::size_t kBeside = std::size_t{64} << 20;
  const std::size_t taken = small->memory_limit - tight.cuda().free_memory();
  small->memory_limit = taken + kBeside + (one.total_bytes() + two.total_bytes()) / 2;
  const std::string error = error_of([&] { expect_fits(two, graphs, config, tight); });
  CHECK(error.starts_with("1 [device memory] expected at least "));
  CHECK(error.find("(run.micro_batch = 1 would fit)") != std::string::npos);
  small->memory_limit = std::size_t{1} << 30;
  CHECK_NOTHROW(expect_fits(two, graphs, config, tight));
}

TEST_CASE("training: what cuda has no kernel for is refused when the run is planned, on cuda only") {
  const auto refusal = [](void (*change)(ModelSpec&), DeviceKind device) {
    ModelSpec spec = tiny_spec();
    change(spec);
    return error_of([&] { TrainingPlan(model_graphs(spec), tiny_config(spec), device); });
  };
  const auto wide_heads = [](ModelSpec& spec) { spec.width = 272; };  // two heads of 136
  CHECK(refusal(wide_heads, DeviceKind::cuda) ==
        "2 [attention_flash] expected a head width of at most 128 on cuda, got 136");
  CHECK(refusal(wide_heads, DeviceKind::cpu).empty());
  const auto wide_rows = [](ModelSpec& spec) { spec.width = 6148, spec.heads = 58, spec.kv_heads = 58; };
  CHECK(refusal(wide_rows, DeviceKind::cuda).starts_with("2 [layernorm] expected rows of at most 6144 columns"));
  const auto wide_turns = [](ModelSpec& spec) {
    spec.width = 1032, spec.positions = Positions::rope, spec.attention = Attention::naive;
  };
  CHECK(refusal(wide_turns, DeviceKind::cuda) == "2 [rope] expected heads of up to 512 columns on cuda, got 516");
}

TEST_CASE("training: a loss that is not finite stops the run and names the first bad tensor") {
  const TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = twenty_steps(spec);
  config.optimizer.learning_rate = 1e30;
  config.optimizer.clip_norm = 0;
  const std::string error = error_of(
      [&] { train(folder / "run", spec, config, false, -1, machine_on(std::make_shared<simt::HostDevice>())); });
  CHECK(error.find("expected a finite loss and gradient") != std::string::npos);
  CHECK(error.find("first bad: ") != std::string::npos);
}

}  // namespace isoloss::test
