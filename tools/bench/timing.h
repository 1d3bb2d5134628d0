// Timing: work that is repeated, and rivals that take turns.
#pragma once

#include <functional>
#include <vector>

#include "engine/machine.h"

namespace isoloss::bench {

struct Timing {
  double median = 0, shortest = 0;  ///< seconds
  int runs = 0;
};

/// Work to be timed. On a device work(turn) only launches; it takes its operands from copy `turn % copies`, so that the
/// cache holds none of them when their turn comes again.
struct Rival {
  std::function<void(int turn)> work;
  int copies = 1;
};

/// The times of rivals that do the same work, each for `seconds` after a warm-up. They take turns of a few
/// milliseconds, so that a busy machine is busy for all of them. On the host by the clock, call by call and at least
/// three times; on a device by its events (device_timer.h). Stops early when the user interrupts.
std::vector<Timing> times_of(const Machine& machine, double seconds, const std::vector<Rival>& rivals);

/// Median, shortest and number of `samples`, each the time of one of `runs_each` runs.
Timing summary(std::vector<double> samples, int runs_each = 1);

}  // namespace isoloss::bench
