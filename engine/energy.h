// Energy counters, where the device tells: Intel and AMD processors through Linux' powercap interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace isoloss {

/// Joules used by all processor packages since construction or the last `take`; nothing where the counters cannot be
/// read (most virtual machines, and most systems for users other than root).
class EnergyMeter {
 public:
  EnergyMeter();
  std::optional<double> take();

 private:
  struct Counter {
    std::string path;
    std::uint64_t last = 0, range = 0;
  };
  std::vector<Counter> counters_;
};

}  // namespace isoloss
