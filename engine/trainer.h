// The training loop: configuration in, measured curve out.
#pragma once

#include <functional>
#include <optional>

#include "data/loader.h"
#include "engine/checkpoint.h"
#include "engine/energy.h"
#include "engine/run_config.h"
#include "engine/run_record.h"
#include "engine/step_runner.h"
#include "engine/training_model.h"

namespace isoloss {

/// What the loop tells whoever watches.
struct StepReport {
  std::int64_t step = 0, steps = 0;
  double loss = 0, tokens_per_second = 0;
  std::optional<double> val_loss;  ///< the newest
};

class Trainer {
 public:
  /// `record` is the run's folder, new or resumed; `resume` the checkpoint to go on from. All must outlive the trainer.
  Trainer(const RunConfig& config, TrainingModel& model, const TokenDataset& train, const EvalWindows& validation,
          RunRecord& record, const std::optional<Checkpoint>& resume);

  std::function<bool()> stop = [] { return false; };  ///< polled after each step
  std::function<void(const StepReport&)> report = [](const StepReport&) {};
  /// Joules since it was last asked, where something counts them.
  std::function<std::optional<double>()> energy = [this] { return meter_.take(); };

  /// Runs to the end or until `stop`; returns the status that it has also written to the manifest. A loss or gradient
  /// that is not finite is Error (exit 1) naming the step and the first bad tensor; the record says "diverged" and
  /// the checkpoints before it stay. Weights whose loss is not known to be finite get no checkpoint.
  RunStatus run();

  std::int64_t steps_done() const { return state_.step; }
  double seconds() const { return state_.seconds; }
  const std::optional<double>& val_loss() const { return val_loss_; }

 private:
  void submit_step();
  /// Books a step's result; `wanted`: its line is due whatever log_every says.
  StepReport book(const StepResult& result, bool wanted);
  void evaluate_now();
  void write_checkpoint();
  [[noreturn]] void diverged(double loss, double norm);

  const RunConfig& config_;
  TrainingModel& model_;
  const EvalWindows& validation_;
  RunRecord& record_;
  Sampler sampler_;
  std::unique_ptr<StepRunner> steps_;
  EnergyMeter meter_;
  TrainingState state_;         ///< of the last step whose result is known
  std::int64_t submitted_ = 0;  ///< steps started
  double step_flops_, grad_norm_ = 0;
  std::int64_t tokens_per_step_;
  std::optional<double> val_loss_;
};

}  // namespace isoloss
