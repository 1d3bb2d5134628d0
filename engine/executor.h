// Runs a graph on a device by its memory plan. The only owner of activations, gradients and scratch.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/buffer.h"
#include "engine/graph.h"
#include "engine/parameters.h"
#include "engine/plan.h"

namespace isoloss {

class Executor;

/// Sees every node as it runs: profiling, checking. No observer costs nothing.
class NodeObserver {
 public:
  virtual ~NodeObserver() = default;
  virtual void before(const Executor& executor, const Node& node, const OpCall& call) = 0;
  virtual void after(const Executor& executor, const Node& node, const OpCall& call) = 0;
  /// Whether what it does on a cuda device's stream may be captured with the step and replayed.
  virtual bool captures() const { return false; }
  /// An optimizer step is done, the device's work included, and the next has not begun. `replayed`: what was seen of it
  /// was captured and will not be seen again, but happen again.
  virtual void step_finished(bool /*replayed*/) {}
};

/// Memory that executors which never run at the same time may share (training and evaluation). It has the size of the
/// largest plan that reserved it, and moves when it grows: take tensors afresh after another executor was made.
class Arena {
 public:
  explicit Arena(Machine machine = DeviceKind::cpu) : machine_(std::move(machine)) {}
  void reserve(std::size_t arena_bytes, std::size_t scratch_bytes);
  std::byte* data() const { return arena_.at(0); }
  Tensor scratch() const;
  std::size_t bytes() const { return arena_.bytes() + scratch_.bytes(); }

 private:
  Machine machine_;
  Buffer arena_, scratch_;
};

class Executor {
 public:
  /// Keeps references to `store`; the graph's parameters must be in it (and have gradients if the graph needs them).
  Executor(Graph graph, ParameterStore& store, Machine machine, std::shared_ptr<Arena> arena = nullptr);

  /// Runs all nodes once. With state.micro_batch > 0 parameter gradients accumulate, with 0 they are overwritten. On
  /// cuda it returns when everything is launched.
  void run(const StepState& state);
  /// The launches alone: whoever captures them puts the step's state on the device himself.
  void launch(const StepState& state);

  /// Copies a whole value from or to the host; `read` waits for what was launched.
  void write(ValueId value, const void* from) const;
  void read(ValueId value, void* to) const;

  /// The memory of a value, the device's on cuda; valid until a larger executor shares the arena.
  Tensor tensor(ValueId value) const;
  Tensor tensor(std::string_view name) const { return tensor(graph_.find(name)); }

  void set_observer(NodeObserver* observer) { observer_ = observer; }
  NodeObserver* observer() const { return observer_; }

  const Graph& graph() const { return graph_; }
  const MemoryPlan& plan() const { return plan_; }
  DeviceKind device() const { return machine_.kind(); }
  const Machine& machine() const { return machine_; }
  const StepState& state() const { return state_; }

 private:
  Graph graph_;
  ParameterStore& store_;
  Machine machine_;
  MemoryPlan plan_;
  std::shared_ptr<Arena> arena_;
  std::vector<Buffer> states_;  ///< by value id, for ValueKind::state
  NodeObserver* observer_ = nullptr;
  StepState state_;
};

}  // namespace isoloss
