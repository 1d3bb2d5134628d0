#include "engine/optimizer.h"

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/base/parallel.h"

namespace isoloss {

namespace {
std::vector<TensorType> types_of(const std::vector<Tensor>& tensors) {
  std::vector<TensorType> types;
  for (const Tensor& tensor : tensors) types.push_back(tensor ? tensor.type : TensorType{});
  return types;
}

Tensor slice(const Tensor& range, std::int64_t offset, std::int64_t elements) {
  const auto bytes = static_cast<std::ptrdiff_t>(offset) * static_cast<std::ptrdiff_t>(bytes_of(range.type.dtype));
  return {static_cast<std::byte*>(range.data) + bytes, {range.type.dtype, {elements}}};
}

constexpr std::size_t kNormBytes = 4 * sizeof(double);
}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, ParameterStore& store)
    : config_(config),
      store_(store),
      norm_(kNormBytes, "gradient norm", store.machine()),
      scratch_(scratch_bytes(store.elements(), store.dtype(), store.machine().kind()) - kNormBytes, "optimizer scratch",
               store.machine()) {
  store_.allocate_moments(moment_ranges(config));
}

std::size_t Optimizer::scratch_bytes(std::int64_t elements, DType dtype, DeviceKind device) {
  // Only the norm needs scratch: the update itself is a single pass.
  const OpDef& op = find_op("global_norm");
  const TensorType in[] = {{dtype, {elements}}}, out[] = {{dtype, {1}}, {dtype, {1}}};
  const Attributes none;
  return kNormBytes + (op.scratch ? op.scratch({none, in, out}, device, threads()) : 0);
}

int Optimizer::moment_ranges(const OptimizerConfig& config) {
  if (config.kind == OptimizerKind::adamw) return 2;
  return config.beta1 != 0 ? 1 : 0;
}

void Optimizer::prepare(StepState& state, double factor) const {
  const double t = static_cast<double>(state.step) + 1;
  state.learning_rate = config_.learning_rate * factor;
  state.bias_correction1 = 1 - std::pow(config_.beta1, t);
  state.bias_correction2 = 1 - std::pow(config_.beta2, t);
}

/// Runs one op outside a graph, on whole parameter ranges.
void Optimizer::run(const char* name, const Attributes& attributes, const std::vector<Tensor>& in,
                    const std::vector<Tensor>& out, const StepState& state) {
  const OpDef& op = find_op(name);
  const Machine& machine = store_.machine();
  const Tensor scratch{scratch_.data(), {DType::u8, {static_cast<std::int64_t>(scratch_.bytes())}}};
  if (observer_ != nullptr) observer_->begin();
  machine.run(op, attributes, in, out, state, scratch);
  if (observer_ == nullptr) return;
  const std::vector<TensorType> in_types = types_of(in), out_types = types_of(out);
  const std::vector<Mode> mode(out.size(), Mode::write);
  observer_->end(name, op.cost({attributes, in_types, out_types}, mode));
}

void Optimizer::update(const StepState& state) {
  const DType real = store_.dtype();
  const Tensor factor{norm_.at(bytes_of(real)), {real, {1}}};
  run("global_norm", {{"clip_norm", config_.clip_norm}}, {store_.gradients()}, {norm(), factor}, state);
  for (const ParameterGroup& group : store_.groups()) update(group, factor, state);
}

void Optimizer::update(const ParameterGroup& group, const Tensor& factor, const StepState& state) {
  const auto part = [&](const Tensor& range) { return range ? slice(range, group.offset, group.elements) : range; };
  const auto decaying = static_cast<double>(group.decaying);
  Attributes attributes{{"beta1", config_.beta1}, {"weight_decay", config_.weight_decay}, {"decay_count", decaying}};
  if (group.rate_factor != 1) attributes.set("rate_factor", group.rate_factor);
  std::vector<Tensor> in{part(store_.values()), part(store_.gradients())}, out{part(store_.values())};
  if (config_.kind == OptimizerKind::adamw) {
    attributes.set("beta2", config_.beta2);
    attributes.set("epsilon", config_.epsilon);
    for (const int moment : {0, 1}) {
      in.push_back(part(store_.moments(moment)));
      out.push_back(part(store_.moments(moment)));
    }
  } else {
    const Tensor momentum = store_.moment_ranges() > 0 ? part(store_.moments(0)) : Tensor{};
    in.push_back(momentum), out.push_back(momentum);
  }
  if (store_.working()) attributes.set("working", 1);  // the rounded copy is written in the same pass
  out.push_back(part(store_.working()));
  in.push_back(factor);
  run(config_.kind == OptimizerKind::adamw ? "adamw" : "sgd", attributes, in, out, state);
}

}  // namespace isoloss
