// Whole optimizer steps of a configuration on random ids: what `train` reaches without reading data or writing records.
#pragma once

#include <string>
#include <vector>

#include "engine/profiler.h"
#include "tools/bench/measure.h"

namespace isoloss::bench {

struct StepSpeed {
  Timing timing;  ///< of a step
  std::int64_t tokens = 0;
  Cost cost;                   ///< of a step, without the optimizer
  double planned_bytes = 0;    ///< memory, as planned
  double attention_flops = 0;  ///< the part of cost.matmul_flops done by attention ops
};

/// Trains the configuration (file or preset, with `key=value` overrides) for at least `seconds` and three steps.
StepSpeed measure_training(const std::string& configuration, const std::vector<std::string>& overrides,
                           DeviceKind device, double seconds);

}  // namespace isoloss::bench
