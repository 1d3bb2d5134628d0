#include "engine/executor.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/parallel.h"

namespace isoloss {

void Arena::reserve(std::size_t arena_bytes, std::size_t scratch_bytes) {
  if (arena_bytes > arena_.bytes()) arena_ = Buffer(), arena_ = Buffer(arena_bytes, "activations", machine_);
  if (scratch_bytes > scratch_.bytes()) scratch_ = Buffer(), scratch_ = Buffer(scratch_bytes, "scratch", machine_);
}

Tensor Arena::scratch() const { return {scratch_.data(), {DType::u8, {static_cast<std::int64_t>(scratch_.bytes())}}}; }

Executor::Executor(Graph graph, ParameterStore& store, Machine machine, std::shared_ptr<Arena> arena)
    : graph_(std::move(graph)),
      store_(store),
      machine_(std::move(machine)),
      plan_(plan_memory(graph_, machine_.kind(), threads())),
      arena_(arena ? std::move(arena) : std::make_shared<Arena>(machine_)) {
  arena_->reserve(plan_.arena_bytes, plan_.scratch_bytes);
  states_.resize(graph_.values().size());
  for (std::size_t id = 0; id < states_.size(); ++id) {
    const Value& value = graph_.values()[id];
    if (value.kind == ValueKind::state) states_[id] = Buffer(value.type.bytes(), "model state", machine_);
  }
  for (const Node& node : graph_.nodes())
    node.op->launcher(machine_.kind());  // throws now rather than in the middle of a step
}

Tensor Executor::tensor(ValueId id) const {
  if (id == kAbsent) return {};
  const Value& value = graph_.value(id);
  switch (value.kind) {
    case ValueKind::parameter:
      return store_.value(value.name, value.type.dtype);
    case ValueKind::parameter_gradient:
      return store_.gradient(graph_.value(value.of).name);
    case ValueKind::state:
      return {states_[static_cast<std::size_t>(id)].data(), value.type};
    case ValueKind::input:
    case ValueKind::activation:
    case ValueKind::gradient:
      break;
  }
  if (!plan_.in_arena(id)) return {nullptr, value.type};
  return {arena_->data() + plan_.offset(id), value.type};
}

void Executor::write(ValueId value, const void* from) const {
  const Tensor to = tensor(value);
  machine_.to_machine(to.data, from, to.type.bytes());
}

void Executor::read(ValueId value, void* to) const {
  const Tensor from = tensor(value);
  machine_.to_host(to, from.data, from.type.bytes());
}

void Executor::run(const StepState& state) {
  machine_.set_state(state);
  launch(state);
}

namespace {
/// The part of a model that a node belongs to: "h.3" of "h.3.attn.c_attn".
std::string_view layer_of(std::string_view node) {
  const auto second_dot = node.find('.', node.find('.') + 1);
  return node.substr(0, second_dot);
}
}  // namespace

void Executor::launch(const StepState& state) {
  state_ = state;
  std::optional<ProfilerRange> layer;
  std::string_view layer_name;
  DeviceContext context = machine_.context(state_, arena_->scratch());
  std::vector<Tensor> in, out;
  std::vector<Mode> mode;
  for (const Node& node : graph_.nodes()) {
    in.clear(), out.clear();
    for (const ValueId id : node.in) in.push_back(tensor(id));
    for (const ValueId id : node.out) out.push_back(tensor(id));
    mode = node.mode;
    for (std::size_t o = 0; o < mode.size(); ++o) {
      const bool parameter = node.out[o] != kAbsent && graph_.value(node.out[o]).kind == ValueKind::parameter_gradient;
      if (parameter && mode[o] == Mode::write && state_.micro_batch > 0) mode[o] = Mode::accumulate;
    }
    const OpCall call{in, out, mode, node.attributes};
    if (layer_of(node.name) != layer_name) {
      layer.reset();
      layer_name = layer_of(node.name);
      layer.emplace(machine_, std::string(layer_name));
    }
    if (observer_ != nullptr) observer_->before(*this, node, call);
    const ProfilerRange range(machine_, node.name);
    launch_on(machine_, *node.op, node.name, context, call);
    if (observer_ != nullptr) observer_->after(*this, node, call);
  }
}

}  // namespace isoloss
