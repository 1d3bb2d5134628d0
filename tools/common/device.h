// --device and --threads, alike in every program that computes.
#pragma once

#include <memory>
#include <string>

#include "engine/executor.h"
#include "engine/run_config.h"

namespace CLI {
class App;
}

namespace isoloss {

struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;  ///< 0: all processors this process may use

  /// Adds the two options; `check` is offered where a training step runs.
  void add_to(CLI::App& app, bool check);
};

struct Device {
  Machine machine = DeviceKind::cpu;
  std::string name;                       ///< as given or chosen: "cpu", "ref", "check"
  std::unique_ptr<NodeObserver> checker;  ///< set for `check`: observe the training executor with it
};

/// Applies the options: sets the threads, chooses the device, and says which when it was left to `auto`. Throws where
/// the device is not there (exit 1) or cannot compute in `precision` (exit 2).
Device open_device(const DeviceOptions& options, Precision precision);

}  // namespace isoloss
