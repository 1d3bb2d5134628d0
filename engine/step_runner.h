// One optimizer step after another: on the host at once, on cuda one step ahead of what is known.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/training_model.h"

namespace isoloss {

/// Writes the tokens of one micro-batch: ids and targets [rows, context].
using BatchSource = std::function<void(int micro_batch, std::int32_t* ids, std::int32_t* targets)>;

struct StepResult {
  double loss = 0, gradient_norm = 0;
  double seconds = 0;                ///< of the device
  std::vector<double> metrics = {};  ///< in the order of the graph's roles, each the mean over the micro-batches
};

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  /// Starts a step. `state` is prepared but for its micro-batch.
  virtual void submit(const StepState& state, const BatchSource& batch) = 0;
  /// The oldest step whose result was not taken yet. Without `drain` the newest step is left alone on machines that
  /// work ahead, so that they never wait for the host.
  virtual std::optional<StepResult> next(bool drain) = 0;
};

std::unique_ptr<StepRunner> make_step_runner(TrainingModel& model);

// Its two kinds.
std::unique_ptr<StepRunner> make_host_steps(TrainingModel& model);
std::unique_ptr<StepRunner> make_cuda_steps(TrainingModel& model);

}  // namespace isoloss
