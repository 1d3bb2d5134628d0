// What must hold for training on a CUDA device, whichever it is: the host executor or a GPU.
#pragma once

#include <functional>
#include <span>

#include "engine/step_runner.h"
#include "tests/harness/tiny_run.h"

namespace isoloss::test {

struct TrainingVariant {
  const char* name;
  void (*change)(ModelSpec&);
};
/// Together they reach every toggle.
std::span<const TrainingVariant> training_variants();

/// 20 steps of two micro-batches, with evaluations.
RunConfig twenty_steps(const ModelSpec& spec);

/// Losses of the machine in float32 stay as near to those of `ref` as another right implementation would, and in bf16
/// within a few roundings. `make` is called once a run.
void check_follows_ref(const TrainingVariant& variant, const std::function<Machine()>& make);

/// The same run gives the same bits, and so does one that was stopped and went on. `make` gets the number of the run
/// (0 … 3), so that it can let threads run in another order each time.
void check_repeats_and_resumes(const std::function<Machine(int run)>& make);

/// A model on a device, and what feeds it.
struct Running {
  Running(const ModelSpec& spec, Precision precision, const std::shared_ptr<CudaDevice>& device);
  /// Submits step `number`.
  void step(StepRunner& steps, std::int64_t number);

  RunConfig config;
  TrainingModel model;
  std::int64_t vocab;
};

/// A step of every toggle, in both precisions, with every operation beside ref.
void check_every_operation(const std::function<std::shared_ptr<CudaDevice>()>& make);

/// Three steps in which every operation is timed, captured or launched one operation after the other.
void check_profile(const std::shared_ptr<CudaDevice>& device, bool captured);

}  // namespace isoloss::test
