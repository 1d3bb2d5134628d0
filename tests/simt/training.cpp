// The whole cuda device on the host executor: models train on it as on ref, reproducibly, from one allocation.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "engine/trainer.h"
#include "kernels/core/error.h"
#include "models/transformer.h"
#include "simt/executor.h"
#include "simt/host_device.h"
#include "tests/harness/files.h"
#include "tests/harness/tiny_run.h"

namespace isoloss::test {
namespace {

struct Variant {
  const char* name;
  void (*change)(ModelSpec&);
};

constexpr Variant kVariants[] = {
    {"baseline", [](ModelSpec&) {}},
    {"no norm, naive attention",
     [](ModelSpec& spec) { spec.norm = Norm::none, spec.final_norm = Norm::none, spec.attention = Attention::naive; }},
    {"RMSNorm, RoPE, multi-query, SwiGLU",
     [](ModelSpec& spec) {
       spec.norm = Norm::rmsnorm, spec.final_norm = Norm::rmsnorm, spec.positions = Positions::rope;
       spec.kv_heads = 1, spec.mlp = Mlp::swiglu;
     }},
    {"post-norm, sinusoidal, exact GELU, window, dropout, untied, no bias",
     [](ModelSpec& spec) {
       spec.norm_position = NormPosition::post, spec.positions = Positions::sinusoidal, spec.mlp = Mlp::gelu;
       spec.window = 5, spec.dropout = 0.1, spec.tie_embeddings = false, spec.bias = false;
     }},
    {"ReLU²", [](ModelSpec& spec) { spec.mlp = Mlp::relu2; }}};

Machine machine_on(const std::shared_ptr<simt::HostDevice>& device) { return {device, /*tf32=*/false}; }

RunConfig twenty_steps(const ModelSpec& spec) {
  RunConfig config = tiny_config(spec);
  config.run.steps = 20;
  config.run.eval_every = 10;
  config.run.micro_batch = 2;  // two micro-batches a step
  return config;
}

}  // namespace

TEST_CASE("training: every toggle follows ref in float32 and in bf16") {
  for (const Variant& variant : kVariants) {
    CAPTURE(variant.name);
    const TemporaryFolder folder;
    ModelSpec spec = tiny_spec();
    variant.change(spec);
    RunConfig config = twenty_steps(spec);
    const Outcome reference = train(folder / "ref", spec, config, false, -1, DeviceKind::ref);
    const Outcome fallback = train(folder / "cpu", spec, config);
    // What two right implementations differ by in float32, from rounding alone.
    const double noise = worst_difference(reference.losses, fallback.losses);
    for (const bool epilogues : {true, false}) {
      if (!epilogues && &variant != kVariants) continue;  // our own kernels in their place: once is enough
      const auto device = std::make_shared<simt::HostDevice>();
      device->epilogues = epilogues;
      const Outcome single =
          train(folder / (epilogues ? "f32" : "f32 own"), spec, config, false, -1, machine_on(device));
      CHECK(single.status == RunStatus::finished);
      CHECK(device->launches_replayed == 20);
      CHECK(worst_difference(reference.losses, single.losses) <= 8 * noise + 1e-6);
      CHECK(worst_difference(reference.val_losses, single.val_losses) <= 8 * noise + 1e-6);
    }
    config.run.precision = Precision::bf16;
    const Outcome narrow =
        train(folder / "bf16", spec, config, false, -1, machine_on(std::make_shared<simt::HostDevice>()));
    // Losses near 4 from logits that are rounded to 8 bits: 2^-8 relative is the error of a single rounding.
    CHECK(worst_difference(reference.losses, narrow.losses) <= 4 * 0x1p-8);
    CHECK(worst_difference(reference.losses, narrow.losses) > noise);  // bf16 was really used
  }
}

TEST_CASE("training: the same bits again, in another order of threads, and after a resume") {
  ModelSpec spec = tiny_spec();
  spec.dropout = 0.1;
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const TemporaryFolder folder;
    RunConfig config = twenty_steps(spec);
    config.run.precision = precision;
    config.run.checkpoint_every = 5;
    const auto run = [&](const char* name, const simt::Schedule& schedule, std::int64_t stop_after, bool resume) {
      simt::set_schedule(schedule);
      return train(folder / name, spec, config, resume, stop_after, machine_on(std::make_shared<simt::HostDevice>()));
    };
    const Outcome whole = run("whole", {simt::Order::forward, 1}, -1, false);
    const Outcome again = run("again", {simt::Order::priority, 5}, -1, false);
    CHECK(whole.losses == again.losses);
    CHECK(whole.val_losses == again.val_losses);
    CHECK(whole.weights == again.weights);
    CHECK(run("parts", {simt::Order::reverse, 1}, 7, false).status == RunStatus::interrupted);
    const Outcome resumed = run("parts", {simt::Order::forward, 1}, -1, true);
    CHECK(whole.losses == resumed.losses);
    CHECK(whole.val_losses == resumed.val_losses);
    CHECK(whole.weights == resumed.weights);
  }
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
