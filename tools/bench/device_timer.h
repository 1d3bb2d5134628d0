// Timing on a CUDA device: by its events, of captured launches, so that the host's own slowness is left out.
#pragma once

#include <vector>

#include "tools/bench/timing.h"

namespace isoloss::bench {

/// times_of() on a device. Each rival is launched once for every copy of its operands as a warm-up (which lets it
/// choose algorithms), then captured as a graph of about a millisecond that visits all copies; a sample is a replay's
/// time, taken by events around it, over its launches. That is how a training step runs, too. At least three samples.
std::vector<Timing> device_times(const Machine& machine, double seconds, const std::vector<Rival>& rivals);

}  // namespace isoloss::bench
