// Reverse-mode differentiation over gradient records.
//
// Losses start it. A head stands where its forward node stood and computes value and gradient in one go; the gradient
// of any other loss starts as its weight, which a `fill` writes.
//
// Forward values map to gradient values. The first contribution to a gradient writes it, later ones accumulate into it.
// An *alias* (residual additions) lets several forward values share one gradient value without a node or a copy; such
// a shared value may only be accumulated into by its last remaining owner, otherwise it is first split off by an `add`.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "engine/graph.h"

namespace isoloss {

class Differentiator {
 public:
  explicit Differentiator(Graph& graph) : graph_(graph), wanted_(wanted_values(graph)) {}

  void run() {
    if (graph_.losses_.empty()) throw std::logic_error("a graph is differentiated from its losses; it has none");
    const std::vector<Node> forward = std::move(graph_.nodes_);
    std::vector<Loss> seeds = graph_.losses_;
    graph_.nodes_.clear();
    std::vector<bool> is_head(forward.size(), false);
    for (std::size_t n = 0; n < forward.size(); ++n) {
      const auto loss = std::find_if(seeds.begin(), seeds.end(), [&](const Loss& candidate) {
        return forward[n].op->gradient.replaces_forward && forward[n].writes(candidate.value);
      });
      is_head[n] = loss != seeds.end();
      if (is_head[n]) {
        append_loss_head(forward[n], loss->weight);
        seeds.erase(loss);
      } else {
        graph_.nodes_.push_back(forward[n]);
      }
    }
    for (const Loss& loss : seeds) start(loss);
    for (std::size_t n = forward.size(); n-- > 0;) {
      if (!is_head[n]) {
        differentiate(forward[n]);
      } else if (reached(forward[n])) {
        fail_at_head(forward[n]);
      }
    }
    expect_all_parameters();
  }

 private:
  /// The gradient of a loss that is no head's.
  void start(const Loss& loss) {
    const std::string name = graph_.value(loss.value).name;
    if (!wanted_[static_cast<std::size_t>(loss.value)]) {
      throw std::logic_error(name + ": a loss that depends on no parameter");
    }
    if (gradient_of(loss.value) != kAbsent) throw std::logic_error(name + ": a loss that is there twice");
    const ValueId seed = graph_.append("fill", name, {{"value", loss.weight}}, {loss.value}).front();
    Value& value = graph_.values_[static_cast<std::size_t>(seed)];
    value.kind = ValueKind::gradient, value.of = loss.value;
    graph_.nodes_.back().backward = true;
    set_gradient(loss.value, seed);
  }

  bool reached(const Node& forward) const {
    return std::any_of(forward.out.begin(), forward.out.end(),
                       [&](ValueId id) { return id != kAbsent && gradient_of(id) != kAbsent; });
  }

  /// A head starts the backward pass with its weight: what comes back to its outputs would be lost.
  [[noreturn]] static void fail_at_head(const Node& head) {
    throw std::logic_error(head.name + ": a head's value can be a loss once, and nothing that a loss is computed from");
  }

  void expect_all_parameters() const {
    for (std::size_t id = 0; id < wanted_.size(); ++id) {
      const Value& value = graph_.values()[id];
      if (value.kind == ValueKind::parameter && gradient_of(static_cast<ValueId>(id)) == kAbsent) {
        throw std::logic_error("no loss reaches the parameter " + value.name);
      }
    }
  }

  static std::vector<bool> wanted_values(const Graph& graph) {
    std::vector<bool> wanted(graph.values().size(), false);
    const auto at = [&](ValueId id) { return static_cast<std::size_t>(id); };
    for (std::size_t id = 0; id < wanted.size(); ++id) wanted[id] = graph.values()[id].kind == ValueKind::parameter;
    for (const Node& node : graph.nodes()) {
      const bool depends =
          std::any_of(node.in.begin(), node.in.end(), [&](ValueId id) { return id != kAbsent && wanted[at(id)]; });
      for (const ValueId id : node.out) {
        if (id != kAbsent && depends) wanted[at(id)] = true;
      }
    }
    return wanted;
  }

  /// The forward value that a port name of `forward` means, input or output.
  static ValueId value_of_port(const Node& forward, std::string_view port) {
    if (const int i = forward.op->input(port); i >= 0) return forward.in[static_cast<std::size_t>(i)];
    if (const int o = forward.op->output(port); o >= 0) return forward.out[static_cast<std::size_t>(o)];
    throw std::logic_error(fmt::format("{}: gradient record names unknown port '{}'", forward.op->name, port));
  }

  ValueId gradient_of(ValueId forward) const {
    const auto found = gradient_.find(forward);
    return found == gradient_.end() ? kAbsent : found->second;
  }

  /// What a record's source means: a forward port, or "d" + output port for a gradient.
  ValueId source(const Node& forward, std::string_view name) const {
    if (forward.op->input(name) >= 0 || forward.op->output(name) >= 0) return value_of_port(forward, name);
    if (name.starts_with('d')) return gradient_of(value_of_port(forward, name.substr(1)));
    throw std::logic_error(fmt::format("{}: gradient record names unknown source '{}'", forward.op->name, name));
  }

  Node backward_node(const Node& forward) const {
    const GradientRecord& record = forward.op->gradient;
    const OpDef& op = find_op(record.op);
    Node node{&op, forward.name, forward.attributes, {}, {}, {}, true};
    node.in.assign(op.inputs.size(), kAbsent);
    for (const auto& [port, name] : record.reads)
      node.in[static_cast<std::size_t>(op.input(port))] = source(forward, name);
    node.out.assign(op.outputs.size(), kAbsent);
    node.mode.assign(op.outputs.size(), Mode::skip);
    return node;
  }

  void append_loss_head(const Node& head, double weight) {
    Node node = backward_node(head);
    node.backward = false;
    if (weight != 1) {
      const char* const attribute = head.op->gradient.weight;
      if (*attribute == '\0') throw std::logic_error(head.name + ": " + head.op->name + " cannot be weighted");
      node.attributes.set(attribute, weight * (node.attributes.has(attribute) ? node.attributes.real(attribute) : 1.0));
    }
    // The value outputs (losses, loss) keep the forward node's values.
    for (std::size_t o = 0; o < head.out.size(); ++o) {
      const int port = node.op->output(head.op->outputs[o].name);
      if (port < 0 || head.out[o] == kAbsent) continue;
      node.out[static_cast<std::size_t>(port)] = head.out[o];
      node.mode[static_cast<std::size_t>(port)] = Mode::write;
    }
    finish(head, std::move(node));
  }

  void differentiate(const Node& forward) {
    const GradientRecord& record = forward.op->gradient;
    if (!reached(forward)) return;
    if (record.replaces_forward) fail_at_head(forward);
    if (*record.op == '\0' && record.aliases.empty() && std::ranges::any_of(forward.in, [&](ValueId id) {
          return id != kAbsent && wanted_[static_cast<std::size_t>(id)];
        })) {
      throw std::logic_error(forward.name + ": no gradient goes through " + forward.op->name);
    }
    if (*record.op != '\0') {
      Node node = backward_node(forward);
      for (std::size_t i = 0; i < node.in.size(); ++i) {
        if (node.in[i] == kAbsent && !node.op->inputs[i].optional) {
          throw std::logic_error(fmt::format("{}: {} needs '{}', which has no gradient", forward.name, node.op->name,
                                             node.op->inputs[i].name));
        }
      }
      finish(forward, std::move(node));
    }
    for (const auto& [output, input] : record.aliases) {
      const ValueId from = gradient_of(value_of_port(forward, output));
      if (from != kAbsent) share(from, value_of_port(forward, input), forward.name);
    }
    // The outputs of this node need their gradients no more: they own nothing from here on.
    for (const ValueId id : forward.out) {
      if (id != kAbsent) drop_gradient(id);
    }
  }

  /// Connects the outputs of a backward node to the gradients that they contribute to, and appends it.
  void finish(const Node& forward, Node node) {
    std::vector<std::pair<ValueId, ValueId>>
        split_off;  // (forward value, fresh contribution) to be added after the node
    // Ports no target names (scratch-like outputs) still need a buffer when the shape rule says they exist.
    const std::vector<TensorType> in = graph_.input_types(node);
    const std::vector<TensorType> out = node.op->infer({node.attributes, in, {}});
    for (const auto& [port, target_name] : forward.op->gradient.writes) {
      const auto o = static_cast<std::size_t>(node.op->output(port));
      const ValueId target = value_of_port(forward, target_name);
      if (target == kAbsent || !wanted_[static_cast<std::size_t>(target)] || !out[o].present()) {
        if (out[o].present() && !node.op->outputs[o].can_skip)
          node.out[o] = fresh(forward, target, port, out[o]), node.mode[o] = Mode::write;
        continue;
      }
      const ValueId existing = gradient_of(target);
      if (existing == kAbsent) {
        node.out[o] = fresh(forward, target, port, out[o]);
        node.mode[o] = Mode::write;
        set_gradient(target, node.out[o]);
      } else if (node.op->outputs[o].can_accumulate && !node.reads(existing) && !node.writes(existing) &&
                 sole_owner(existing, target)) {
        node.out[o] = existing;
        node.mode[o] = Mode::accumulate;
      } else {
        node.out[o] = fresh(forward, target, port, out[o]);
        node.mode[o] = Mode::write;
        split_off.emplace_back(target, node.out[o]);
      }
    }
    for (std::size_t o = 0; o < out.size(); ++o) {
      const bool named =
          std::any_of(forward.op->gradient.writes.begin(), forward.op->gradient.writes.end(),
                      [&](const auto& write) { return node.op->output(write.first) == static_cast<int>(o); });
      if (named || node.out[o] != kAbsent || !out[o].present()) continue;
      node.out[o] = fresh(forward, kAbsent, node.op->outputs[o].name, out[o]);
      node.mode[o] = Mode::write;
    }
    graph_.nodes_.push_back(std::move(node));
    for (const auto& [target, contribution] : split_off) add_contribution(target, contribution, forward.name);
  }

  void set_gradient(ValueId forward, ValueId gradient) {
    drop_gradient(forward);
    gradient_[forward] = gradient;
    ++owners_[gradient];
  }

  void drop_gradient(ValueId forward) {
    const auto found = gradient_.find(forward);
    if (found == gradient_.end()) return;
    --owners_[found->second];
    gradient_.erase(found);
  }

  /// Whether `gradient`, which is that of `owner`, is nobody else's.
  bool sole_owner(ValueId gradient, ValueId owner) const {
    return gradient_of(owner) == gradient && owners_.at(gradient) == 1;
  }

  /// The gradient of `target` receives the whole value `from`, shared where that is possible.
  void share(ValueId from, ValueId target, const std::string& name) {
    if (target == kAbsent || !wanted_[static_cast<std::size_t>(target)]) return;
    const Value& value = graph_.value(target);
    if (gradient_of(target) == kAbsent && value.kind != ValueKind::parameter) {
      set_gradient(target, from);
    } else {
      add_contribution(target, from, name);
    }
  }

  void add_contribution(ValueId target, ValueId contribution, const std::string& name) {
    const ValueId existing = gradient_of(target);
    if (existing == kAbsent || graph_.value(target).kind == ValueKind::parameter) {
      throw std::logic_error(name + ": a parameter's gradient must come from an op that can accumulate");
    }
    set_gradient(target, graph_.append("add", name, {}, {existing, contribution}).front());
    graph_.nodes_.back().backward = true;
  }

  ValueId fresh(const Node& forward, ValueId target, std::string_view port, const TensorType& type) {
    const bool parameter = target != kAbsent && graph_.value(target).kind == ValueKind::parameter;
    if (parameter) {
      // One gradient value a parameter, however many nodes contribute.
      return graph_.add_value({"d " + graph_.value(target).name, type, ValueKind::parameter_gradient, target});
    }
    return graph_.add_value({fmt::format("{}.{}", forward.name, port), type, ValueKind::gradient,
                             target == kAbsent ? forward.out.front() : target});
  }

  Graph& graph_;
  std::vector<bool> wanted_;
  std::unordered_map<ValueId, ValueId> gradient_;  ///< forward value -> its gradient value
  std::unordered_map<ValueId, int> owners_;        ///< gradient value -> how many forward values it is the gradient of
};

void Graph::differentiate() {
  Differentiator(*this).run();
  skip_unread_saved_outputs();
}

}  // namespace isoloss
