#include "tests/harness/cuda_training.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>

#include "engine/checker.h"
#include "engine/profiler.h"
#include "models/transformer.h"
#include "tests/harness/files.h"

namespace isoloss::test {

namespace {

constexpr TrainingVariant kVariants[] = {
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
    {"ReLU², no positions, capped logits",
     [](ModelSpec& spec) { spec.mlp = Mlp::relu2, spec.positions = Positions::none, spec.logit_softcap = 2; }},
    {"learned positions and RoPE, grouped queries, GELU by tanh", [](ModelSpec& spec) {
       spec.positions = Positions::learned_rope, spec.mlp = Mlp::gelu_tanh;
       spec.width = 48, spec.heads = 6, spec.kv_heads = 2;  // three query heads to a key head
     }}};

}  // namespace

std::span<const TrainingVariant> training_variants() { return kVariants; }

RunConfig twenty_steps(const ModelSpec& spec) {
  RunConfig config = tiny_config(spec);
  config.run.steps = 20;
  config.run.eval_every = 10;
  config.run.micro_batch = 2;  // two micro-batches a step
  return config;
}

void check_follows_ref(const TrainingVariant& variant, const std::function<Machine()>& make) {
  CAPTURE(variant.name);
  const TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  variant.change(spec);
  RunConfig config = twenty_steps(spec);
  const Outcome reference = train(folder / "ref", spec, config, false, -1, DeviceKind::ref);
  const Outcome fallback = train(folder / "cpu", spec, config);
  // What two right implementations differ by in float32, from rounding alone.
  const double noise = worst_difference(reference.losses, fallback.losses);
  const Outcome single = train(folder / "f32", spec, config, false, -1, make());
  CHECK(single.status == RunStatus::finished);
  CHECK(worst_difference(reference.losses, single.losses) <= 8 * noise + 1e-6);
  CHECK(worst_difference(reference.val_losses, single.val_losses) <= 8 * noise + 1e-6);

  config.run.precision = Precision::bf16;
  const Outcome narrow = train(folder / "bf16", spec, config, false, -1, make());
  // Losses near 4 from logits that are rounded to 8 bits: 2^-8 relative is the error of a single rounding.
  CHECK(worst_difference(reference.losses, narrow.losses) <= 4 * 0x1p-8);
  CHECK(worst_difference(reference.losses, narrow.losses) > noise);  // bf16 was really used
}

void check_repeats_and_resumes(const std::function<Machine(int run)>& make) {
  ModelSpec spec = tiny_spec();
  spec.dropout = 0.1;
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const TemporaryFolder folder;
    RunConfig config = twenty_steps(spec);
    config.run.precision = precision;
    config.run.checkpoint_every = 5;
    const auto run = [&](const char* name, int number, std::int64_t stop_after, bool resume) {
      return train(folder / name, spec, config, resume, stop_after, make(number));
    };
    const Outcome whole = run("whole", 0, -1, false);
    const Outcome again = run("again", 1, -1, false);
    CHECK(whole.losses == again.losses);
    CHECK(whole.val_losses == again.val_losses);
    CHECK(whole.weights == again.weights);
    CHECK(run("parts", 2, 7, false).status == RunStatus::interrupted);
    const Outcome resumed = run("parts", 3, -1, true);
    CHECK(whole.losses == resumed.losses);
    CHECK(whole.val_losses == resumed.val_losses);
    CHECK(whole.weights == resumed.weights);
  }
}

Running::Running(const ModelSpec& spec, Precision precision, const std::shared_ptr<CudaDevice>& device)
    : config(twenty_steps(spec)),
      model((config.run.precision = precision, TrainingPlan(model_graphs(spec), config, DeviceKind::cuda)), config,
            Machine(device, /*tf32=*/false)),
      vocab(spec.vocab) {
  model.store().initialise(1);
}

void Running::step(StepRunner& steps, std::int64_t number) {
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

void check_every_operation(const std::function<std::shared_ptr<CudaDevice>()>& make) {
  for (const TrainingVariant& variant : training_variants()) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      CAPTURE(variant.name);
      CAPTURE(precision == Precision::bf16);
      ModelSpec spec = tiny_spec();
      variant.change(spec);
      Running running(spec, precision, make());
      Checker checker;
      running.model.training().set_observer(&checker);
      const auto steps = make_step_runner(running.model);
      CHECK(error_of([&] { running.step(*steps, 0); }).empty());
      CHECK(steps->next(/*drain=*/true).has_value());
    }
  }
}

void check_profile(const std::shared_ptr<CudaDevice>& device, bool captured) {
  // Nsight Systems sets this variable, and steps are not captured then.
  if (!captured) ::setenv("NSYS_PROFILING_SESSION_ID", "1", /*overwrite=*/1);
  Running running(tiny_spec(), Precision::bf16, device);
  Profiler profiler(running.model.machine());
  running.model.training().set_observer(&profiler);
  running.model.optimizer().set_observer(&profiler);
  const auto steps = make_step_runner(running.model);
  for (std::int64_t number = 0; number < 3; ++number) {
    running.step(*steps, number);
    CHECK(steps->next(/*drain=*/false).has_value());  // not a step late: events are read before the next replay
  }
  ::unsetenv("NSYS_PROFILING_SESSION_ID");
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
