// Energy counters, where the device tells: a GPU's own, and Intel and AMD processors through Linux' powercap interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/machine.h"

namespace isoloss {

/// Joules used since construction or the last `take` by what a model computes on: the GPU, or all processor packages;
/// nothing where the counters cannot be read (most virtual machines, and for processors most users other than root).
class EnergyMeter {
 public:
  /// `powercap`: where Linux shows the counters of processors.
  explicit EnergyMeter(const Machine& machine, const std::string& powercap = "/sys/class/powercap");
  std::optional<double> take();

 private:
  std::optional<double> take_of_gpu();

  Machine machine_;
  std::optional<double> gpu_last_;
  struct Counter {
    std::string path;
    std::uint64_t last = 0, range = 0;
  };
  std::vector<Counter> counters_;
};

}  // namespace isoloss
