// Whole training runs of a tiny model, for tests of what must hold on every machine.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/machine.h"
#include "engine/run_config.h"
#include "engine/run_record.h"
#include "engine/trainer.h"
#include "models/spec.h"

namespace isoloss::test {

/// Two layers of two heads, 32 wide, context 16, 50 symbols.
ModelSpec tiny_spec();
/// 12 steps of one micro-batch of 4 sequences.
RunConfig tiny_config(const ModelSpec& spec);

struct Outcome {
  RunStatus status = RunStatus::running;
  std::vector<double> losses, val_losses;
  std::string weights, log, evaluations;
};

/// Runs (or resumes) in `folder`, on text with something to learn that is written beside it; `stop_after` >= 0 stops
/// after that many reported steps of this call; `change` sees the trainer before it starts.
Outcome train(const std::filesystem::path& folder, const ModelSpec& spec, const RunConfig& config, bool resume = false,
              std::int64_t stop_after = -1, const Machine& machine = DeviceKind::cpu,
              const std::function<void(Trainer&)>& change = {});

/// The largest absolute difference, infinite where one side is NaN.
double worst_difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace isoloss::test
