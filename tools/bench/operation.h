// An operation with everything it needs to run alone: operands in one or more copies, scratch, step state.
#pragma once

#include <string>
#include <vector>

#include "kernels/core/op.h"
#include "tools/bench/operands.h"

namespace isoloss::bench {

class Operation {
 public:
  /// One vector of inputs, in port order, for each copy. Outputs and scratch are taken from `operands`; optimizers
  /// update their inputs in place. Throws an input error where the op refuses the types or the device has no launcher.
  Operation(const OpDef& op, const Attributes& attributes, std::vector<std::vector<Tensor>> in, Operands& operands);

  /// Puts the step state where kernels read it; before the first run() of a series.
  void arm() const;
  /// Launches on copy `turn % copies()`.
  void run(int turn) const;

  const OpDef& op() const { return *op_; }
  const Attributes& attributes() const { return attributes_; }
  int copies() const { return static_cast<int>(in_.size()); }
  const std::vector<Tensor>& in(int copy) const { return in_[static_cast<std::size_t>(copy)]; }
  const std::vector<Tensor>& out(int copy) const { return out_[static_cast<std::size_t>(copy)]; }
  Cost cost() const;           ///< of one run
  std::string shapes() const;  ///< of the inputs: "[2, 256, 768] [768]"

 private:
  const OpDef* op_;
  Attributes attributes_;
  Machine machine_;
  std::vector<std::vector<Tensor>> in_, out_;
  std::vector<Mode> modes_;
  Tensor scratch_;
  StepState state_;
};

/// Inputs of `forward`'s backward op for every copy: its inputs and outputs by the gradient record, gradients at
/// random.
std::vector<std::vector<Tensor>> backward_inputs(const Operation& forward, const OpDef& backward, Operands& operands);

/// Whether this program and device have the operation at all.
bool available(const std::string& op, DeviceKind device);

}  // namespace isoloss::bench
