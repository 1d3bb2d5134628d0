// The `check` device: runs every node of a training graph again on the specification, from the same inputs, and stops
// at the first output that differs by more than rounding explains. The optimizer's two operations, which stand in no
// graph and work on all parameters at once, are left to their tests.
#pragma once

#include <vector>

#include "engine/executor.h"

namespace isoloss {

/// Policy. For each output element let r be the value that `ref` computes in double from the same inputs, and e the
/// largest error over the tensor that `ref` itself makes in float against r. A device may err by at most
/// `kMultiple` · e + `kFloor` · max|r|: other summation orders err by a small multiple of the plain order's error, and
/// the floor covers tensors on which the plain order happens to be exact. NaN or infinity on one side only is an error.
/// Where tensors are bf16, `ref` computes from their exact values, and the floor is kFloorBf16 of the largest among
/// this output and those stored in bf16: results are rounded to bf16, and so is what lies on the way to them (a sum
/// before its mean, probabilities, gradients of logits), each time by up to 2^-9 of its size.
class Checker : public NodeObserver {
 public:
  static constexpr double kMultiple = 16, kFloor = 1e-6, kFloorBf16 = 0x1p-7;

  void before(const Executor& executor, const Node& node, const OpCall& call) override;
  /// Throws Error (exit 1) `[part: op.port] expected …, got …` with the worst element.
  void after(const Executor& executor, const Node& node, const OpCall& call) override;

 private:
  struct Copy {
    std::vector<double> wide;
    std::vector<float> narrow;
    std::vector<std::int32_t> ids;
  };
  static Copy copy_of(const Machine& machine, const Tensor& tensor);
  static Tensor view(Copy& copy, const Tensor& like, DType real);

  std::vector<Copy> inputs_, outputs_;  ///< before the node ran
};

}  // namespace isoloss
