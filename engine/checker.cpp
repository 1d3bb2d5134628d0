#include "engine/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"

namespace isoloss {

Checker::Copy Checker::copy_of(const Tensor& tensor) {
  Copy copy;
  if (!tensor) return copy;
  const auto count = tensor.count();
  if (tensor.type.dtype == DType::i32) {
    copy.ids.assign(tensor.as<std::int32_t>(), tensor.as<std::int32_t>() + count);
  } else {
    copy.narrow.assign(tensor.as<float>(), tensor.as<float>() + count);
    copy.wide.assign(copy.narrow.begin(), copy.narrow.end());
  }
  return copy;
}

Tensor Checker::view(Copy& copy, const Tensor& like, DType real) {
  if (!like) return {};
  if (like.type.dtype == DType::i32) return {copy.ids.data(), like.type};
  void* data = real == DType::f64 ? static_cast<void*>(copy.wide.data()) : static_cast<void*>(copy.narrow.data());
  return {data, {real, like.shape()}};
}

void Checker::before(const Executor&, const Node&, const OpCall& call) {
  inputs_.clear(), outputs_.clear();
  for (const Tensor& tensor : call.in) inputs_.push_back(copy_of(tensor));
  for (const Tensor& tensor : call.out) outputs_.push_back(copy_of(tensor));
}

void Checker::after(const Executor& executor, const Node& node, const OpCall& call) {
  const auto run = [&](DType real) {
    std::vector<Tensor> in, out;
    // Ops that modify an input in place (caches) get their own copy; in-place outputs are separate here on purpose.
    std::vector<Copy> inputs = inputs_;
    std::vector<TensorType> in_types, out_types;
    for (std::size_t i = 0; i < inputs.size(); ++i) in.push_back(view(inputs[i], call.in[i], real));
    for (std::size_t o = 0; o < outputs_.size(); ++o) out.push_back(view(outputs_[o], call.out[o], real));
    for (const Tensor& tensor : in) in_types.push_back(tensor ? tensor.type : TensorType{});
    for (const Tensor& tensor : out) out_types.push_back(tensor ? tensor.type : TensorType{});
    const std::size_t bytes =
        node.op->scratch ? node.op->scratch({node.attributes, in_types, out_types}, DeviceKind::ref, 1) : 0;
    const Buffer scratch(bytes, "scratch");
    DeviceContext context;
    context.kind = DeviceKind::ref;
    context.state = &executor.state();
    context.scratch = {scratch.data(), {DType::u8, {static_cast<std::int64_t>(bytes)}}};
    node.op->launcher(DeviceKind::ref)(context, {in, out, call.mode, node.attributes});
  };
  run(DType::f32);
  run(DType::f64);
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    const Copy& copy = outputs_[o];
    if (copy.wide.empty()) continue;
    const float* got = call.out[o].as<float>();
    double plain_error = 0, largest = 0;
    for (std::size_t i = 0; i < copy.wide.size(); ++i) {
      if (!std::isfinite(copy.wide[i])) continue;
      largest = std::max(largest, std::abs(copy.wide[i]));
      if (std::isfinite(copy.narrow[i]))
        plain_error = std::max(plain_error, std::abs(copy.wide[i] - static_cast<double>(copy.narrow[i])));
    }
    const double bound = kMultiple * plain_error + kFloor * largest;
    double worst = -1;
    std::size_t worst_index = 0;
    for (std::size_t i = 0; i < copy.wide.size(); ++i) {
      const double error = std::abs(copy.wide[i] - static_cast<double>(got[i]));
      const bool same_class = std::isfinite(copy.wide[i]) == std::isfinite(static_cast<double>(got[i]));
      const double measure = std::isfinite(error) ? error : (same_class ? 0.0 : HUGE_VAL);
      if (measure > worst) worst = measure, worst_index = i;
    }
    if (!(worst <= bound)) {
      fail_run(fmt::format("{}: {}.{}", node.name, node.op->name, node.op->outputs[o].name),
               fmt::format("{:.9g} within {:.3g} at element {} of {}", copy.wide[worst_index], bound, worst_index,
                           call.out[o].shape().text()),
               fmt::format("{:.9g}", static_cast<double>(got[worst_index])));
    }
  }
}

}  // namespace isoloss
