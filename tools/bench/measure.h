// What an operation takes, forward and backward, on operands of its own; on a device beside its peer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/bench/cases.h"
#include "tools/bench/timing.h"

namespace isoloss::bench {

struct Measured {
  struct Rivalry {
    std::string name;  ///< see device_peers.h
    Timing timing;
  };
  std::string op, what, shapes;  ///< `shapes`: of the inputs, as text
  int copies = 1;                ///< of the operands, taking turns
  Timing timing;
  Cost cost;
  std::optional<Rivalry> peer;  ///< only on a device
};

/// The operation of the case, and the backward operation that its gradient record names, on what the forward op left.
/// Ops whose name `wanted` refuses are not timed; an op that this program or the device does not have gives nothing.
std::vector<Measured> measure(const Case& test, const Machine& machine, double seconds,
                              const std::function<bool(const std::string& op)>& wanted);

}  // namespace isoloss::bench
