// Runs one operation between guard zones, on the host or on a CUDA device, with every type, mode and aliasing the
// contract allows.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/core/op.h"

namespace isoloss::test {

/// Elements of a tensor of any type as doubles (exact for f32 and i32). Empty: the tensor is absent.
using Values = std::vector<double>;

/// An input tensor: its type with real tensors spelled f32, and its contents (exact in f32).
struct Operand {
  TensorType type;
  Values values;
  DType narrow = DType::bf16;  ///< what a real tensor is where the launch is in bf16: bf16, or f32 for statistics
};

/// The operand's type in a launch whose activations are `real`.
TensorType type_in(const Operand& operand, DType real);
bool is_real(const TensorType& type);
/// Every element rounded to float, or to what `dtype` holds.
Values rounded(Values values, DType dtype = DType::f32);
/// Same length and same bits in every element (so -0 differs from 0, and one NaN equals the same NaN).
bool same_bits(const Values& a, const Values& b);

struct LaunchRequest {
  DeviceKind device = DeviceKind::ref;
  DType real = DType::f32;
  int threads = 1;               ///< on cuda: the schedule
  std::vector<Mode> modes;       ///< by output; empty: write everything that exists
  std::vector<bool> in_place;    ///< by output: share the buffer of `in_place_of`; empty: none
  std::vector<Values> previous;  ///< by output: contents that Mode::accumulate finds
};

/// The device that runs launches on `cuda`: a GPU, or the host executor.
class CudaRunner {
 public:
  virtual ~CudaRunner() = default;
  /// What a launch gets in its context; valid until the next call. `schedule` chooses among the orders in which the
  /// host executor lets threads run; a GPU has its own.
  virtual CudaContext& context(const StepState& state, int schedule) = 0;
  /// True where every access to memory is watched. The accesses hardly depend on values and on the order of threads: to
  /// try many of either is left to programs that compare results.
  virtual bool watches_memory() const { return false; }
  /// True where a launch takes long: the numbers of one are all that is checked of a kernel.
  virtual bool launches_once() const { return false; }
};
/// Null in programs without a device.
ISOLOSS_OPTIONAL CudaRunner& cuda_runner();
inline bool has_cuda() { return cuda_runner != nullptr; }

struct LaunchResult {
  std::vector<TensorType> in_types, out_types;
  std::vector<Mode> modes;          ///< as passed: skip where an output does not exist
  std::vector<Values> in_after;     ///< the inputs as the launch left them
  std::vector<Values> out;          ///< by output; empty where skipped
  std::vector<std::string> faults;  ///< broken guard zones
};

/// Infers the types, lays every tensor and the scratch between guard zones, fills outputs and scratch with NaN and
/// launches. Errors of the shape rule pass through.
LaunchResult launch_op(const OpDef& op, const Attributes& attributes, const StepState& state,
                       const std::vector<Operand>& inputs, const LaunchRequest& request);

}  // namespace isoloss::test
