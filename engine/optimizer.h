// The optimizer: clipping and the update, one pass each over the flat parameter ranges.
#pragma once

#include <string>
#include <vector>

#include "engine/parameters.h"
#include "engine/run_config.h"
#include "kernels/core/op.h"

namespace isoloss {

/// Sees every operation of an update, for profiles.
class OperationObserver {
 public:
  virtual ~OperationObserver() = default;
  virtual void begin() = 0;
  virtual void end(const std::string& op, const Cost& cost) = 0;
};

class Optimizer {
 public:
  /// Allocates the moments in `store` (AdamW: m and v; SGD: the momentum, if any). Runs on the store's machine.
  Optimizer(const OptimizerConfig& config, ParameterStore& store);

  /// What step `step` needs to know besides the gradients. `factor`: the schedule's.
  void prepare(StepState& state, double factor) const;

  /// Clips by the global norm and updates all parameters. On cuda it returns when everything is launched.
  void update(const StepState& state);
  /// The gradient norm of the last update, before clipping: [1] in the store's dtype, where the machine computes.
  Tensor norm() const { return {norm_.data(), {store_.dtype(), {1}}}; }

  void set_observer(OperationObserver* observer) { observer_ = observer; }

  /// Ranges of moments, each as large as the parameters, that this optimizer keeps.
  static int moment_ranges(const OptimizerConfig& config);
  /// Bytes that it allocates besides the moments, for `elements` parameters.
  static std::size_t scratch_bytes(std::int64_t elements, DType dtype, DeviceKind device);

 private:
  void update(const ParameterGroup& group, const Tensor& factor, const StepState& state);
  void run(const char* op, const Attributes& attributes, const std::vector<Tensor>& in, const std::vector<Tensor>& out,
           const StepState& state);

  OptimizerConfig config_;
  ParameterStore& store_;
  Buffer norm_;  ///< [norm, factor], in the store's dtype
  Buffer scratch_;
  OperationObserver* observer_ = nullptr;
};

}  // namespace isoloss
