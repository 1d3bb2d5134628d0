// The computation of one micro-batch as data: values and nodes in execution order. Built once per (spec, micro-batch,
// context); backward nodes are ordinary nodes appended by differentiate().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kernels/core/op.h"

namespace isoloss {

using ValueId = int;
inline constexpr ValueId kAbsent = -1;

enum class ValueKind : std::uint8_t {
  input,               ///< filled by the caller before a run (token ids, targets)
  state,               ///< kept from run to run and modified by ops (key-value caches)
  parameter,           ///< lives in the ParameterStore
  parameter_gradient,  ///< lives in the ParameterStore; accumulates over micro-batches
  activation,          ///< planned into the arena
  gradient,            ///< gradient of an activation; planned into the arena
};

struct Value {
  std::string name;
  TensorType type;
  ValueKind kind = ValueKind::activation;
  ValueId of = kAbsent;  ///< for gradients: the value they belong to
};

struct Node {
  const OpDef* op = nullptr;
  std::string name;  ///< the model part, e.g. "h.0.attn.c_attn"
  Attributes attributes;
  std::vector<ValueId> in, out;  ///< one per port; kAbsent for absent optional inputs and skipped or absent outputs
  std::vector<Mode> mode;        ///< one per output port
  bool backward = false;

  bool reads(ValueId value) const;
  bool writes(ValueId value) const;
};

/// A number of each micro-batch that is logged beside the loss, as the mean over a step's micro-batches.
struct Metric {
  std::string name;  ///< its key in log.jsonl: small letters, digits and underscores
  ValueId value = kAbsent;
};

/// A term of what is minimised.
struct Loss {
  ValueId value = kAbsent;
  double weight = 1;
};

/// What values mean to whoever runs a graph. Set by its builder; nobody else knows their names.
struct Roles {
  ValueId ids = kAbsent, targets = kAbsent;  ///< inputs, i32 [rows, context]
  ValueId loss = kAbsent;                    ///< [1]: the cross-entropy that is logged, the mean of token_losses
  ValueId token_losses = kAbsent;            ///< [rows · context]
  ValueId logits = kAbsent;                  ///< of a decoding graph: [1, 1, padded vocabulary]
  std::vector<Metric> metrics;               ///< one number each; Graph::add_metric
};

class Graph {
 public:
  /// `real` is the dtype of parameters and activations that the builder asks for: f32, or f64 for the specification.
  explicit Graph(DType real = DType::f32) : real_(real) {}

  DType real() const { return real_; }

  Roles roles;

  ValueId add_input(std::string name, TensorType type) { return add_named({std::move(name), type, ValueKind::input}); }
  ValueId add_state(std::string name, TensorType type) { return add_named({std::move(name), type, ValueKind::state}); }
  /// Declares a parameter; the same name again returns the same value (tied weights).
  ValueId add_parameter(const std::string& name, const Shape& shape);

  /// Appends a node and returns its output values, one per port (kAbsent where the shape rule gives none).
  /// Throws std::logic_error when there is a node or a value of that name, Error (exit 2) `[op] …` when the inputs do
  /// not fit, and
  /// `[value] …` for one of more than 1 TiB (so do the other functions that add values): sizes can then be summed
  /// without a thought of overflow.
  std::vector<ValueId> add(std::string_view op, const std::string& name, const Attributes& attributes,
                           const std::vector<ValueId>& inputs);
  /// The same for ops of which only the first output matters to the builder.
  ValueId apply(std::string_view op, const std::string& name, const Attributes& attributes,
                const std::vector<ValueId>& inputs) {
    return add(op, name, attributes, inputs).front();
  }

  /// What is minimised: the sum of all losses, each of one element and times its weight. A loss may be a head's (an
  /// operation that computes value and gradient in one go) or the output of any differentiable operation, and may stand
  /// anywhere in the graph; a head's value may not be an input of other nodes on the way to a loss, since a head's
  /// gradient starts with its weight alone. With several micro-batches a step the weight of each is the step's divided
  /// by their number, since gradients add up. The value itself stays as it is.
  void add_loss(ValueId loss, double weight = 1);
  /// One number that is logged under `name` beside the loss, in the order of these calls. Throws std::logic_error for a
  /// value that is not one f32 (or f64) number, and for a name that is no plain key or there already.
  void add_metric(const std::string& name, ValueId value);
  /// Appends the backward pass of all losses. Afterwards every parameter has a gradient value; one that no loss reaches
  /// is a std::logic_error that names it, and so is a graph without a loss or an operation without gradient between a
  /// loss and a parameter. Call at most once, as the last change.
  void differentiate();
  /// Ends a graph without backward pass: outputs that only a backward pass would read are skipped.
  void finish_forward();

  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Loss>& losses() const { return losses_; }
  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
  /// By name among inputs, states and parameters, or output "node.port"; throws std::logic_error when there is none.
  ValueId find(std::string_view name) const;
  /// The gradient value of a parameter, kAbsent before differentiate().
  ValueId parameter_gradient(ValueId parameter) const;

  std::vector<TensorType> input_types(const Node& node) const;
  std::vector<TensorType> output_types(const Node& node) const;
  Cost cost(const Node& node) const;
  Cost cost() const;
  /// Throws Error (exit 2) `[op] …` at the first node that the cuda device has no kernel for.
  void check_cuda() const;
  std::size_t scratch_bytes(const Node& node, DeviceKind device, int threads) const;

 private:
  friend class Differentiator;
  ValueId add_value(Value value);
  /// An input, a state or a parameter, whose name is its own.
  ValueId add_named(Value value);
  void claim_value_name(const std::string& name);
  /// The node alone, whatever its name: backward nodes have that of their forward node.
  std::vector<ValueId> append(std::string_view op, const std::string& name, const Attributes& attributes,
                              const std::vector<ValueId>& inputs);
  void skip_unread_saved_outputs();

  DType real_;
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<Loss> losses_;
  std::unordered_map<std::string, ValueId> parameters_;       ///< by name
  std::unordered_set<std::string> node_names_, value_names_;  ///< of what the builder added
};

}  // namespace isoloss
