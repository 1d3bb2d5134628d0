// Timing: an operation alone on buffers of its own, forward and backward.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/core/op.h"
#include "tools/bench/cases.h"

namespace isoloss::bench {

struct Timing {
  double median = 0, shortest = 0;  ///< seconds
  int runs = 0;
};

/// Calls f() once to warm up, then for `seconds` (at least three times). Stops early when the user interrupts.
Timing time_of(double seconds, const std::function<void()>& f);

/// The same for rivals that do the same work, each for `seconds`. They take turns of a few milliseconds, so that a busy
/// machine is busy for all of them.
std::vector<Timing> times_of(double seconds, const std::vector<std::function<void()>>& rivals);

struct Measured {
  std::string op, what, shapes;  ///< `shapes`: of the inputs, as text
  Timing timing;
  Cost cost;
};

/// The operation of the case, and the backward operation that its gradient record names, on what the forward op left.
/// Ops whose name `wanted` refuses are not timed.
std::vector<Measured> measure(const Case& test, DeviceKind device, double seconds,
                              const std::function<bool(const std::string& op)>& wanted);

}  // namespace isoloss::bench
