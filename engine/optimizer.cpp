#include "engine/optimizer.h"

#include <chrono>
#include <cmath>
#include <vector>

#include "kernels/core/parallel.h"

namespace isoloss {

namespace {
std::vector<TensorType> types_of(const std::vector<Tensor>& tensors) {
  std::vector<TensorType> types;
  for (const Tensor& tensor : tensors) types.push_back(tensor ? tensor.type : TensorType{});
  return types;
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, ParameterStore& store, DeviceKind device)
    : config_(config), store_(store), device_(device), norm_(4 * sizeof(double), "gradient norm") {
  store_.allocate_moments(moment_ranges(config));
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
  const std::vector<TensorType> in_types = types_of(in), out_types = types_of(out);
  const OpTypes types{attributes, in_types, out_types};
  const std::size_t bytes = op.scratch ? op.scratch(types, device_, threads()) : 0;
  if (bytes > scratch_.bytes()) scratch_ = Buffer(bytes, "optimizer scratch");
  const std::vector<Mode> mode(out.size(), Mode::write);
  DeviceContext context;
  context.kind = device_;
  context.state = &state;
  context.scratch = {scratch_.data(), {DType::u8, {static_cast<std::int64_t>(scratch_.bytes())}}};
  const double start = now_seconds();
  op.launcher(device_)(context, {in, out, mode, attributes});
  if (on_operation) on_operation(name, now_seconds() - start, op.cost(types, mode));
}

double Optimizer::update(const StepState& state) {
  const DType real = store_.dtype();
  const Tensor norm{norm_.data(), {real, {1}}};
  const Tensor factor{norm_.at(bytes_of(real)), {real, {1}}};
  run("global_norm", {{"clip_norm", config_.clip_norm}}, {store_.gradients()}, {norm, factor}, state);
  const auto decaying = static_cast<double>(store_.decaying_elements());
  if (config_.kind == OptimizerKind::adamw) {
    const Attributes attributes{{"beta1", config_.beta1},
                                {"beta2", config_.beta2},
                                {"epsilon", config_.epsilon},
                                {"weight_decay", config_.weight_decay},
                                {"decay_count", decaying}};
    run("adamw", attributes, {store_.values(), store_.gradients(), store_.moments(0), store_.moments(1), factor},
        {store_.values(), store_.moments(0), store_.moments(1)}, state);
  } else {
    const Tensor momentum = store_.moment_ranges() > 0 ? store_.moments(0) : Tensor{};
    const Attributes attributes{
        {"beta1", config_.beta1}, {"weight_decay", config_.weight_decay}, {"decay_count", decaying}};
    run("sgd", attributes, {store_.values(), store_.gradients(), momentum, factor}, {store_.values(), momentum}, state);
  }
  return real == DType::f64 ? *norm.as<double>() : static_cast<double>(*norm.as<float>());
}

}  // namespace isoloss
