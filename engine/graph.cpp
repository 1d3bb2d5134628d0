#include "engine/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "kernels/base/error.h"

namespace isoloss {

bool Node::reads(ValueId value) const { return std::find(in.begin(), in.end(), value) != in.end(); }
bool Node::writes(ValueId value) const { return std::find(out.begin(), out.end(), value) != out.end(); }

namespace {
/// So large that no machine holds it, so small that sums over all values of a graph fit 64 bits.
constexpr std::int64_t kLargestValue = std::int64_t{1} << 40;

void expect_possible_size(const Value& value) {
  std::int64_t bytes = static_cast<std::int64_t>(bytes_of(value.type.dtype));
  bool fits = true;
  for (int i = 0; i < value.type.shape.rank(); ++i) {
    fits = fits && !__builtin_mul_overflow(bytes, value.type.shape[i], &bytes) && bytes <= kLargestValue;
  }
  if (!fits) fail_input(value.name, "a tensor of at most 1 TiB", value.type.text());
}
}  // namespace

ValueId Graph::add_value(Value value) {
  expect_possible_size(value);
  values_.push_back(std::move(value));
  return static_cast<ValueId>(values_.size()) - 1;
}

void Graph::claim_value_name(const std::string& name) {
  if (!value_names_.insert(name).second) throw std::logic_error("the graph has two values '" + name + "'");
}

ValueId Graph::add_named(Value value) {
  const std::string name = value.name;
  const ValueId id = add_value(std::move(value));  // may throw, and the name is then nobody's
  claim_value_name(name);
  return id;
}

ValueId Graph::add_parameter(const std::string& name, const Shape& shape) {
  const auto found = parameters_.find(name);
  if (found == parameters_.end()) {
    return parameters_[name] = add_named({name, {real_, shape}, ValueKind::parameter});
  }
  if (value(found->second).type.shape != shape) {
    throw std::logic_error("parameter " + name + " declared with two shapes");
  }
  return found->second;
}

std::vector<ValueId> Graph::add(std::string_view op, const std::string& name, const Attributes& attributes,
                                const std::vector<ValueId>& inputs) {
  if (!node_names_.insert(name).second) throw std::logic_error("the graph has two nodes '" + name + "'");
  const std::vector<ValueId> out = append(op, name, attributes, inputs);
  for (const ValueId id : out) {
    if (id != kAbsent) claim_value_name(value(id).name);
  }
  return out;
}

void Graph::add_loss(ValueId loss, double weight) {
  if (loss == kAbsent) throw std::logic_error("a loss that is no value");
  if (value(loss).type.shape.count() != 1) {
    throw std::logic_error(fmt::format("{}: a loss is one number, not {}", value(loss).name, value(loss).type.text()));
  }
  losses_.push_back({loss, weight});
}

void Graph::add_metric(const std::string& name, ValueId metric) {
  const bool plain = !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == name.npos;
  if (!plain) throw std::logic_error("a metric's name is small letters, digits and underscores, not '" + name + "'");
  if (std::ranges::any_of(roles.metrics, [&](const Metric& other) { return other.name == name; })) {
    throw std::logic_error("the graph has two metrics '" + name + "'");
  }
  if (metric == kAbsent) throw std::logic_error("metric " + name + ": no value");
  const TensorType& type = value(metric).type;
  if (type.shape.count() != 1 || (type.dtype != DType::f32 && type.dtype != DType::f64)) {
    throw std::logic_error(fmt::format("metric {}: expected one f32 number, got {}", name, type.text()));
  }
  roles.metrics.push_back({name, metric});
}

std::vector<ValueId> Graph::append(std::string_view op_name, const std::string& name, const Attributes& attributes,
                                   const std::vector<ValueId>& inputs) {
  const OpDef& op = find_op(op_name);
  op.check(attributes);
  Node node{&op, name, attributes, inputs, {}, {}, false};
  node.in.resize(op.inputs.size(), kAbsent);
  for (std::size_t i = 0; i < node.in.size(); ++i) {
    if (node.in[i] == kAbsent && !op.inputs[i].optional) {
      throw std::logic_error(fmt::format("{}: {} needs its input '{}'", name, op.name, op.inputs[i].name));
    }
  }
  const std::vector<TensorType> in = input_types(node);
  const std::vector<TensorType> out = op.infer({node.attributes, in, {}});
  for (std::size_t o = 0; o < op.outputs.size(); ++o) {
    const bool present = out[o].present();
    node.out.push_back(present ? add_value({fmt::format("{}.{}", name, op.outputs[o].name), out[o]}) : kAbsent);
    node.mode.push_back(present ? Mode::write : Mode::skip);
  }
  nodes_.push_back(std::move(node));
  return nodes_.back().out;
}

ValueId Graph::find(std::string_view name) const {
  for (std::size_t id = 0; id < values_.size(); ++id) {
    if (values_[id].name == name && values_[id].of == kAbsent) return static_cast<ValueId>(id);
  }
  throw std::logic_error(fmt::format("the graph has no value '{}'", name));
}

ValueId Graph::parameter_gradient(ValueId parameter) const {
  for (std::size_t id = 0; id < values_.size(); ++id) {
    if (values_[id].kind == ValueKind::parameter_gradient && values_[id].of == parameter) {
      return static_cast<ValueId>(id);
    }
  }
  return kAbsent;
}

void Graph::finish_forward() { skip_unread_saved_outputs(); }

void Graph::skip_unread_saved_outputs() {
  std::vector<bool> read(values_.size(), false);
  for (const Node& node : nodes_) {
    for (const ValueId id : node.in) {
      if (id != kAbsent) read[static_cast<std::size_t>(id)] = true;
    }
  }
  for (const Metric& metric : roles.metrics) read[static_cast<std::size_t>(metric.value)] = true;
  for (const Loss& loss : losses_) read[static_cast<std::size_t>(loss.value)] = true;
  for (const ValueId id : {roles.loss, roles.token_losses, roles.logits}) {
    if (id != kAbsent) read[static_cast<std::size_t>(id)] = true;
  }
  for (Node& node : nodes_) {
    for (std::size_t o = 0; o < node.out.size(); ++o) {
      if (!node.op->outputs[o].saved || node.out[o] == kAbsent || read[static_cast<std::size_t>(node.out[o])]) continue;
      node.out[o] = kAbsent;
      node.mode[o] = Mode::skip;
    }
  }
}

namespace {
std::vector<TensorType> types_of(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<TensorType> types;
  types.reserve(ids.size());
  for (const ValueId id : ids) types.push_back(id == kAbsent ? TensorType{} : graph.value(id).type);
  return types;
}
}  // namespace

std::vector<TensorType> Graph::input_types(const Node& node) const { return types_of(*this, node.in); }
std::vector<TensorType> Graph::output_types(const Node& node) const { return types_of(*this, node.out); }

Cost Graph::cost(const Node& node) const {
  const auto in = input_types(node), out = output_types(node);
  return node.op->cost({node.attributes, in, out}, node.mode);
}

Cost Graph::cost() const {
  Cost sum;
  for (const Node& node : nodes_) sum += cost(node);
  return sum;
}

void Graph::check_cuda() const {
  for (const Node& node : nodes_) {
    if (node.op->check_cuda == nullptr) continue;
    const std::vector<TensorType> in = input_types(node), out = output_types(node);
    node.op->check_cuda({node.attributes, in, out});
  }
}

std::size_t Graph::scratch_bytes(const Node& node, DeviceKind device, int threads) const {
  if (node.op->scratch == nullptr) return 0;
  const auto in = input_types(node), out = output_types(node);
  return node.op->scratch({node.attributes, in, out}, device, threads);
}

}  // namespace isoloss
