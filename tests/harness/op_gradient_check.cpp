// Gradients through the record and its aliases against finite differences, on ref in double.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "kernels/base/philox.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {

namespace {

constexpr double kStep = 0x1p-10;
constexpr std::size_t kSampled = 10;  // elements of each input moved one by one; a random direction moves all at once

class GradientCheck {
 public:
  GradientCheck(const OpCase& test, const OpDef& forward, const OpDef* backward, const std::vector<Operand>& inputs,
                std::vector<std::string>& failures)
      : test_(test), forward_(forward), backward_(backward), inputs_(inputs), failures_(failures) {}

  std::vector<Operand> run() {
    if (backward_ == nullptr && forward_.gradient.aliases.empty()) return {};
    base_ = evaluate(inputs_);
    choose_loss();
    std::vector<Operand> backward_inputs = propagate();
    // Finite differences are of ref alone, and are left to programs without a device where those have the case, too.
    if (!has_cuda() || test_.only_with_device) {
      for (std::size_t i = 0; i < inputs_.size(); ++i) compare(i);
    }
    for (Operand& operand : backward_inputs) operand.values = rounded(std::move(operand.values));
    return backward_inputs;
  }

 private:
  void fail(const std::string& what) { failures_.push_back(fmt::format("{} gradient: {}", forward_.name, what)); }

  LaunchResult evaluate(const std::vector<Operand>& inputs) const {
    LaunchRequest request{
        .device = DeviceKind::ref, .real = DType::f64, .threads = 1, .modes = {}, .in_place = {}, .previous = {}};
    for (const OutputPort& port : forward_.outputs) {
      request.in_place.push_back(std::find(test_.updated.begin(), test_.updated.end(), port.in_place_of) !=
                                 test_.updated.end());
    }
    return launch_op(forward_, test_.attributes, test_.state, inputs, request);
  }

  /// Weights that turn the outputs into a scalar: random and different for every element, so that no symmetry of the op
  /// can hide an error. A loss head has its scalar already.
  void choose_loss() {
    bool any = false;
    for (const OutputPort& port : forward_.outputs) any = any || flows(port.name);
    loss_head_ = backward_ != nullptr && !any;
    for (std::size_t o = 0; o < forward_.outputs.size(); ++o) {
      const OutputPort& port = forward_.outputs[o];
      if (!base_.out_types[o].present()) continue;
      Values& weight = gradients_[std::string("out ") + port.name];
      weight.assign(base_.out[o].size(), 0.0);
      if (loss_head_) {
        if (std::string_view(port.name) == "loss") {
          weight.assign(1, test_.attributes.has("scale") ? test_.attributes.real("scale") : 1.0);
        }
        continue;
      }
      if (port.saved || !is_real(base_.out_types[o]) || constant(port.name)) continue;
      if (!flows(port.name)) {
        fail(fmt::format("output {} is neither saved nor does its gradient go anywhere", port.name));
        continue;
      }
      Philox random(hash_name(test_.name), hash_name(port.name) + 1);
      for (double& value : weight) value = (0.5 + random.uniform()) * (random.next() % 2 == 0 ? 1 : -1);
    }
    loss_weights_ = gradients_;
  }

  /// Whether the case says that this real input or output has no gradient on purpose.
  bool constant(std::string_view port) const {
    return std::find(test_.constants.begin(), test_.constants.end(), port) != test_.constants.end();
  }

  /// Whether the gradient flowing into this output is read or passed on.
  bool flows(std::string_view output) const {
    const std::string flowing = "d" + std::string(output);
    const auto& record = forward_.gradient;
    return std::any_of(record.reads.begin(), record.reads.end(),
                       [&](const auto& read) { return flowing == read.second; }) ||
           std::any_of(record.aliases.begin(), record.aliases.end(),
                       [&](const auto& alias) { return output == alias.first; });
  }

  double loss(const LaunchResult& result) const {
    double sum = 0;
    for (std::size_t o = 0; o < forward_.outputs.size(); ++o) {
      const auto found = loss_weights_.find(std::string("out ") + forward_.outputs[o].name);
      if (found == loss_weights_.end()) continue;
      for (std::size_t i = 0; i < result.out[o].size(); ++i) {
        if (found->second[i] != 0) sum += found->second[i] * result.out[o][i];
      }
    }
    return sum;
  }

  /// Adds `gradient` to that of a forward input or output.
  void contribute(const std::string& target, const Values& gradient) {
    const bool to_input = forward_.input(target) >= 0;
    const int port = to_input ? forward_.input(target) : forward_.output(target);
    if (port < 0) return fail(fmt::format("record writes to unknown port '{}'", target));
    const Values& like =
        to_input ? inputs_[static_cast<std::size_t>(port)].values : base_.out[static_cast<std::size_t>(port)];
    if (gradient.size() != like.size()) {
      return fail(fmt::format("gradient of {} has {} elements, the tensor {}", target, gradient.size(), like.size()));
    }
    Values& sum = gradients_[(to_input ? "in " : "out ") + target];
    sum.resize(like.size());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
  }

  std::vector<Operand> propagate() {
    std::vector<Operand> backward_inputs;
    if (backward_ != nullptr) {
      for (const InputPort& port : backward_->inputs) {
        backward_inputs.push_back(source_of(port.name));
        if (!backward_inputs.back().type.present() && !port.optional)
          fail(fmt::format("backward input {} is absent", port.name));
      }
      const LaunchResult result = launch_op(
          *backward_, test_.attributes, test_.state, backward_inputs,
          {.device = DeviceKind::ref, .real = DType::f64, .threads = 1, .modes = {}, .in_place = {}, .previous = {}});
      for (const auto& [port, target] : forward_.gradient.writes) {
        const int output = backward_->output(port);
        if (output < 0) {
          fail(fmt::format("record names unknown backward output '{}'", port));
        } else if (!result.out[static_cast<std::size_t>(output)].empty()) {
          contribute(target, result.out[static_cast<std::size_t>(output)]);
        }
      }
      if (forward_.gradient.replaces_forward) {
        for (std::size_t o = 0; o < forward_.outputs.size(); ++o) {
          const int same = backward_->output(forward_.outputs[o].name);
          if (same < 0 || !same_bits(result.out[static_cast<std::size_t>(same)], base_.out[o])) {
            fail(fmt::format("output {} is not that of the forward op", forward_.outputs[o].name));
          }
        }
      }
    }
    for (const auto& [output, input] : forward_.gradient.aliases) {
      contribute(input, gradients_[std::string("out ") + output]);
    }
    return backward_inputs;
  }

  /// What the output is where the activations are bf16.
  DType narrow_type(std::size_t output) const {
    if (!has_cuda()) return DType::bf16;  // nobody asks
    std::vector<TensorType> types;
    for (const Operand& input : inputs_) types.push_back(type_in(input, DType::bf16));
    return forward_.infer({test_.attributes, types, {}})[output].dtype;
  }

  Operand source_of(std::string_view port) {
    for (const auto& [name, source] : forward_.gradient.reads) {
      if (port != name) continue;
      if (const int input = forward_.input(source); input >= 0) return inputs_[static_cast<std::size_t>(input)];
      const bool gradient = forward_.output(source) < 0;
      const int output = forward_.output(gradient ? std::string_view(source).substr(1) : source);
      if (output < 0) break;
      TensorType type = base_.out_types[static_cast<std::size_t>(output)];
      if (type.dtype == DType::f64) type.dtype = DType::f32;
      const DType narrow = narrow_type(static_cast<std::size_t>(output));
      if (!gradient) return {type, base_.out[static_cast<std::size_t>(output)], narrow};
      return {type, gradients_[std::string("out ") + forward_.outputs[static_cast<std::size_t>(output)].name], narrow};
    }
    return {};
  }

  double moved_loss(std::size_t input, const Values& direction, double step) const {
    std::vector<Operand> moved = inputs_;
    for (std::size_t i = 0; i < direction.size(); ++i) moved[input].values[i] += step * direction[i];
    return loss(evaluate(moved));
  }

  /// d loss / d (input along direction), by the five-point formula.
  double slope(std::size_t input, const Values& direction) const {
    const double near = moved_loss(input, direction, kStep) - moved_loss(input, direction, -kStep);
    const double far = moved_loss(input, direction, 2 * kStep) - moved_loss(input, direction, -2 * kStep);
    return (8 * near - far) / (12 * kStep);
  }

  void compare(std::size_t input) {
    const std::string port = forward_.inputs[input].name;
    const Operand& operand = inputs_[input];
    if (!is_real(operand.type) || constant(port)) return;
    const auto found = gradients_.find("in " + port);
    if (found == gradients_.end()) return fail(fmt::format("input {} has none", port));
    const Values& gradient = found->second;
    double most = 0, total = 0;
    for (const double value : gradient) most = std::max(most, std::abs(value)), total += std::abs(value);
    // The loss itself is rounded; its differences carry that rounding divided by the step.
    const double noise = 64 * 0x1p-52 / kStep * std::max(1.0, magnitude());

    const std::size_t stride = std::max<std::size_t>(1, gradient.size() / kSampled);
    Values direction(gradient.size());
    for (std::size_t at = 0; at < gradient.size(); at += stride) {
      direction[at] = 1;
      report(port, fmt::format("[{}]", at), gradient[at], slope(input, direction), test_.gradient_error * most + noise);
      direction[at] = 0;
    }
    Philox random(hash_name(test_.name), hash_name(port) + 2);
    double along = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = random.uniform() - 0.5;
      along += gradient[i] * direction[i];
    }
    report(port, " along a random direction", along, slope(input, direction), test_.gradient_error * total + noise);
  }

  double magnitude() const {
    double sum = 0;
    for (std::size_t o = 0; o < forward_.outputs.size(); ++o) {
      const auto found = loss_weights_.find(std::string("out ") + forward_.outputs[o].name);
      if (found == loss_weights_.end()) continue;
      for (std::size_t i = 0; i < base_.out[o].size(); ++i) sum += std::abs(found->second[i] * base_.out[o][i]);
    }
    return sum;
  }

  void report(const std::string& port, const std::string& where, double gradient, double expected, double allowed) {
    if (!(std::abs(gradient - expected) <= allowed)) {
      fail(fmt::format("d{}{} is {:.9g}, finite differences say {:.9g} (allowed {:.2g})", port, where, gradient,
                       expected, allowed));
    }
  }

  const OpCase& test_;
  const OpDef& forward_;
  const OpDef* backward_;
  const std::vector<Operand>& inputs_;
  std::vector<std::string>& failures_;
  LaunchResult base_;
  bool loss_head_ = false;
  /// By "in port" and "out port".
  std::map<std::string, Values> gradients_, loss_weights_;
};

}  // namespace

std::vector<Operand> check_gradient(const OpCase& test, const OpDef& forward, const OpDef* backward,
                                    const std::vector<Operand>& inputs, std::vector<std::string>& failures) {
  return GradientCheck(test, forward, backward, inputs, failures).run();
}

}  // namespace isoloss::test
