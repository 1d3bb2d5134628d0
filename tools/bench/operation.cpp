#include "tools/bench/operation.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "kernels/base/parallel.h"

namespace isoloss::bench {

namespace {

std::vector<TensorType> types_of(const std::vector<Tensor>& tensors) {
  std::vector<TensorType> types;
  for (const Tensor& tensor : tensors) types.push_back(tensor.type);
  return types;
}

}  // namespace

Operation::Operation(const OpDef& op, const Attributes& attributes, std::vector<std::vector<Tensor>> in,
                     Operands& operands)
    : op_(&op), attributes_(attributes), machine_(operands.machine()), in_(std::move(in)) {
  op.launcher(machine_.kind());
  const std::vector<TensorType> in_types = types_of(in_.front());
  std::vector<TensorType> out_types = op.infer({attributes_, in_types, {}});
  out_types.resize(op.outputs.size());
  for (const TensorType& type : out_types) modes_.push_back(type.present() ? Mode::write : Mode::skip);
  for (const std::vector<Tensor>& inputs : in_) {
    std::vector<Tensor>& outputs = out_.emplace_back();
    for (std::size_t o = 0; o < out_types.size(); ++o) {
      // The optimizers always update in place; for the others the separate buffer keeps their input as it was.
      const OutputPort& port = op.outputs[o];
      const bool updates = std::string_view(port.name).ends_with("_out");
      outputs.push_back(updates ? inputs[static_cast<std::size_t>(op.input(port.in_place_of))]
                                : operands.empty(out_types[o]));
    }
  }
  if (op.scratch != nullptr) {
    const auto bytes =
        static_cast<std::int64_t>(op.scratch({attributes_, in_types, out_types}, machine_.kind(), threads()));
    if (bytes > 0) scratch_ = operands.empty({DType::u8, {bytes}});
  }
  // Decoding is measured at the last position of the context; everything else starts at the first.
  state_.seed = 1;
  state_.position = op.name == "attention_cached" ? in_types[1].shape[1] - 1 : 0;
  state_.learning_rate = 1e-3, state_.bias_correction1 = 0.1, state_.bias_correction2 = 0.05;
}

void Operation::arm() const { machine_.set_state(state_); }

void Operation::run(int turn) const {
  const int copy = turn % copies();
  DeviceContext context = machine_.context(state_, scratch_);
  launch_on(machine_, *op_, op_->name, context, {in(copy), out(copy), modes_, attributes_});
}

Cost Operation::cost() const { return op_->cost({attributes_, types_of(in_.front()), types_of(out_.front())}, modes_); }

std::string Operation::shapes() const {
  std::string text;
  for (const Tensor& tensor : in_.front()) {
    if (tensor) text += (text.empty() ? "" : " ") + tensor.type.shape.text();
  }
  return text;
}

std::vector<std::vector<Tensor>> backward_inputs(const Operation& forward, const OpDef& backward, Operands& operands) {
  std::vector<std::vector<Tensor>> in(static_cast<std::size_t>(forward.copies()),
                                      std::vector<Tensor>(backward.inputs.size()));
  for (const auto& [port, source] : forward.op().gradient.reads) {
    const auto at = static_cast<std::size_t>(backward.input(port));
    const int input = forward.op().input(source), output = forward.op().output(source);
    for (int copy = 0; copy < forward.copies(); ++copy) {
      Tensor& tensor = in[static_cast<std::size_t>(copy)][at];
      if (input >= 0) {
        tensor = forward.in(copy)[static_cast<std::size_t>(input)];
      } else if (output >= 0) {
        tensor = forward.out(copy)[static_cast<std::size_t>(output)];
      } else if (copy > 0) {
        tensor = operands.copy(in.front()[at]);
      } else {
        const int of = forward.op().output(std::string_view(source).substr(1));
        tensor = operands.random(forward.out(copy)[static_cast<std::size_t>(of)].type);
      }
    }
  }
  return in;
}

bool available(const std::string& op, DeviceKind device) {
  const auto& ops = all_ops();
  const auto found = std::find_if(ops.begin(), ops.end(), [&](const OpDef& known) { return known.name == op; });
  if (found == ops.end()) return false;
  const auto has = [&](DeviceKind kind) { return found->launch[static_cast<std::size_t>(kind)] != nullptr; };
  return has(device) || (device == DeviceKind::cpu && has(DeviceKind::ref));
}

}  // namespace isoloss::bench
