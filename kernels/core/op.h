// The contract between an operation and everything that uses it: graph, planner, executor, tests, bench.
//
// An operation is data: named ports, a shape rule, a gradient record, a cost, scratch bytes and one launcher a device.
// Forward and backward are separate OpDefs in the same folder; a backward op is an ordinary op.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/core/tensor.h"

namespace isoloss {

enum class DeviceKind : std::uint8_t { ref, cpu, cuda };
inline constexpr int kDeviceKinds = 3;
const char* name_of(DeviceKind device);

/// Named numbers fixed when the graph is built (integers are exact up to 2^53).
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const char*, double>> values) : values_(values) {}
  /// The value; throws std::logic_error when the op was built without it.
  double real(std::string_view name) const;
  std::int64_t integer(std::string_view name) const { return static_cast<std::int64_t>(real(name)); }
  bool flag(std::string_view name) const { return has(name) && real(name) != 0; }
  bool has(std::string_view name) const;
  void set(const char* name, double value);
  const std::vector<std::pair<const char*, double>>& all() const { return values_; }
  std::string text() const;  ///< "heads=4 window=0"

 private:
  std::vector<std::pair<const char*, double>> values_;
};

/// What changes from step to step. On cuda a copy lives in device memory, so that a captured step can be replayed.
struct StepState {
  std::uint64_t seed = 0;
  std::int64_t step = 0;         ///< optimizer steps finished before this one
  std::int64_t micro_batch = 0;  ///< index of the micro-batch within the step
  std::int64_t position = 0;     ///< first position of the batch in its context (0 but for incremental decoding)
  double learning_rate = 0;
  double bias_correction1 = 1;  ///< 1 - beta1^(step + 1)
  double bias_correction2 = 1;  ///< 1 - beta2^(step + 1)
};

struct CudaContext;  // cuda_device.h

/// Marks a function that exists only in programs with the cuda device: its address is null in the others.
#define ISOLOSS_OPTIONAL [[gnu::weak]]

/// Passed explicitly to every launch; there is no global device state.
struct DeviceContext {
  DeviceKind kind = DeviceKind::cpu;
  Tensor scratch;                    ///< u8, at least OpDef::scratch bytes, 64-byte aligned, contents undefined
  const StepState* state = nullptr;  ///< host memory
  CudaContext* cuda = nullptr;       ///< on cuda: stream, library handles, the state in device memory
};

/// How an output is stored. `skip`: nobody wants it, do not compute it (its tensor is absent). `accumulate`: add to
/// what is there (only for ports that say so).
enum class Mode : std::uint8_t { skip, write, accumulate };

struct OpCall {
  std::span<const Tensor> in;   ///< one per input port; absent optional inputs have null data
  std::span<const Tensor> out;  ///< one per output port; skipped or absent outputs have null data
  std::span<const Mode> mode;   ///< one per output port
  const Attributes& attributes;
};

using Launch = void (*)(DeviceContext& context, const OpCall& call);

enum class AttributeType : std::uint8_t { real, integer, flag, choice };

/// An attribute that an operation knows.
struct AttributeDef {
  const char* name;
  AttributeType type = AttributeType::real;
  std::optional<double> standard = {};  ///< what holds where it is not set; nothing: it must be set
  int choices = 0;                      ///< of a choice: it is one of 0 … choices - 1, an enum of the contract header
};

struct InputPort {
  const char* name;
  bool optional = false;
};

struct OutputPort {
  const char* name;
  /// Name of an input whose buffer this output may take over when nobody reads that input later: the launcher must be
  /// right both when the two pointers are equal and when they differ. "" = never.
  const char* in_place_of = "";
  bool can_accumulate = false;  ///< understands Mode::accumulate
  bool can_skip = false;        ///< understands Mode::skip
  bool saved = false;           ///< exists only for the backward pass: skipped in graphs without one
};

struct Cost {
  double flops = 0;         ///< all floating-point operations, as the algorithm needs them (no recomputation)
  double matmul_flops = 0;  ///< the part of `flops` done as matrix products (attention included)
  double bytes = 0;         ///< each operand read once, each result written once
  Cost& operator+=(const Cost& other) {
    flops += other.flops, matmul_flops += other.matmul_flops, bytes += other.bytes;
    return *this;
  }
};

/// What an op's shape rule, cost and scratch see.
struct OpTypes {
  const Attributes& attributes;
  std::span<const TensorType> in;   ///< absent optional inputs have rank 0
  std::span<const TensorType> out;  ///< empty while the shape rule runs
};

/// Which op computes the gradients and how its ports map to the forward op's. A *source* or *target* is the name of a
/// forward input or output port; "d" + output port names the gradient flowing into that output.
struct GradientRecord {
  const char* op = "";  ///< "" with no aliases: not differentiable
  /// (backward input port, source). A "d…" source without a gradient leaves the port absent (it must be optional).
  std::vector<std::pair<const char*, const char*>> reads;
  /// (backward output port, target): contributes to the gradient of that forward input, or of that forward output
  /// (before `aliases` pass it on). The differentiator chooses skip, write or accumulate.
  std::vector<std::pair<const char*, const char*>> writes;
  /// (forward output, forward input): the gradient of the input receives that of the output unchanged, without a node.
  std::vector<std::pair<const char*, const char*>> aliases;
  /// The op is a loss head: in a training graph `op` stands in the place of the forward node and computes value and
  /// gradients in one go; its extra outputs follow `writes`. It starts the backward pass.
  bool replaces_forward = false;
  /// Of a loss head: the attribute by which its gradients are multiplied, but not its value.
  const char* weight = "";
};

struct OpDef {
  std::string name;
  std::vector<InputPort> inputs;
  std::vector<OutputPort> outputs;
  /// All that may be set. A backward op has those of its forward op, where it declares none of its own.
  std::vector<AttributeDef> attributes = {};
  /// Output types from input types; a rank-0 entry is an output that does not exist in this combination.
  /// Throws Error (exit 2) `[op] expected …, got …` on shapes or dtypes that do not fit.
  std::vector<TensorType> (*infer)(const OpTypes& types) = nullptr;
  Cost (*cost)(const OpTypes& types, std::span<const Mode> mode) = nullptr;
  /// Throws Error (exit 2) where the cuda device has no kernel for what the shape rule accepts; nullptr: it has for
  /// all.
  void (*check_cuda)(const OpTypes& types) = nullptr;
  /// Scratch bytes on a device with `threads` threads; nullptr = none.
  std::size_t (*scratch)(const OpTypes& types, DeviceKind device, int threads) = nullptr;
  GradientRecord gradient;
  std::array<Launch, kDeviceKinds> launch{};  ///< by DeviceKind; cpu falls back to ref where no faster version pays

  int input(std::string_view port) const;    ///< index, or -1
  int output(std::string_view port) const;   ///< index, or -1
  Launch launcher(DeviceKind device) const;  ///< throws Error (exit 2) where there is none
  /// Throws std::logic_error that names op and attribute: unknown, missing, or not of its type.
  void check(const Attributes& attributes) const;
};

/// All operations, in the order of ops.inc; a forward op comes before its backward op.
const std::vector<OpDef>& all_ops();
/// By name; throws std::logic_error for a name that does not exist.
const OpDef& find_op(std::string_view name);

/// Shape-rule helper: throws `[op] expected …, got …` unless `condition`.
void expect(bool condition, std::string_view op, std::string_view expected, std::string_view got);

}  // namespace isoloss
