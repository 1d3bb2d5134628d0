// Whole optimizer steps of a configuration on random ids: what `train` reaches without reading data or writing records.
#pragma once

#include <string>
#include <vector>

#include "engine/machine.h"
#include "engine/run_config.h"
#include "tools/bench/timing.h"

namespace isoloss::bench {

struct StepSpeed {
  Timing timing;  ///< of a step
  std::int64_t tokens = 0;
  Cost cost;                   ///< of a step, without the optimizer
  double planned_bytes = 0;    ///< memory, as planned
  double attention_flops = 0;  ///< the part of cost.matmul_flops done by attention ops
};

/// Trains the configuration (file or preset, with `key=value` overrides) in `precision` for at least `seconds` and
/// three steps after a first one, which allocates and, on a device, is captured. The times of steps are the device's
/// own.
StepSpeed measure_training(const std::string& configuration, const std::vector<std::string>& overrides,
                           const Machine& machine, Precision precision, double seconds);

}  // namespace isoloss::bench
