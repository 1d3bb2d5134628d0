// The optimizer: clipping and the update, one pass each over the flat parameter ranges.
#pragma once

#include <functional>
#include <string>

#include "engine/parameters.h"
#include "engine/run_config.h"
#include "kernels/core/op.h"

namespace isoloss {

class Optimizer {
 public:
  /// Allocates the moments in `store` (AdamW: m and v; SGD: the momentum, if any).
  Optimizer(const OptimizerConfig& config, ParameterStore& store, DeviceKind device);

  /// What step `step` needs to know besides the gradients. `factor`: the schedule's.
  void prepare(StepState& state, double factor) const;

  /// Clips by the global norm and updates all parameters. Returns the norm before clipping.
  double update(const StepState& state);

  /// Told of every operation of an update, for profiles; empty: nobody asks, and nothing is timed.
  std::function<void(const std::string& op, double seconds, const Cost& cost)> on_operation;

  /// Ranges of moments, each as large as the parameters, that this optimizer keeps.
  static int moment_ranges(const OptimizerConfig& config);

 private:
  void run(const char* op, const Attributes& attributes, const std::vector<Tensor>& in, const std::vector<Tensor>& out,
           const StepState& state);

  OptimizerConfig config_;
  ParameterStore& store_;
  DeviceKind device_;
  Buffer norm_;  ///< [norm, factor], in the store's dtype
  Buffer scratch_;
};

}  // namespace isoloss
