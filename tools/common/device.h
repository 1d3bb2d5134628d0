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

inline constexpr int kMostThreads = 4096;  ///< beyond, --threads is a mistake

struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;  ///< 0: all processors this process may use

  /// Adds the two options; `check` is offered by programs that have the checker watch their executors.
  void add_to(CLI::App& app, bool check);
};

struct Device {
  Machine machine = DeviceKind::cpu;
  std::string name;  ///< as given or chosen: "cpu", "cuda", "ref", "check"
  Precision precision = Precision::fp32;
  std::unique_ptr<NodeObserver> checker;  ///< set for `check`: observe the training executor with it
};

/// Applies the options: sets the threads, chooses the device, and says which when it was left to `auto`. Throws where
/// the device is not there (exit 1) or cannot compute in `precision` (exit 2).
Device open_device(const DeviceOptions& options, Precision precision);
/// The same with another precision where the device turns out to be a GPU.
Device open_device(const DeviceOptions& options, Precision on_host, Precision on_gpu);

/// What open_device() would choose, without opening it: a plan for a GPU can be made on a machine that has none.
DeviceKind device_kind(const DeviceOptions& options);

}  // namespace isoloss
