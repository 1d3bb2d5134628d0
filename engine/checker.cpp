#include "engine/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "kernels/core/bf16.h"

namespace isoloss {

namespace {

/// The bytes of a tensor, wherever it is.
template <class T>
std::vector<T> fetched(const Machine& machine, const Tensor& tensor) {
  std::vector<T> values(static_cast<std::size_t>(tensor.count()));
  machine.to_host(values.data(), tensor.data, tensor.type.bytes());
  return values;
}

bool any_bf16(const OpCall& call) {
  const auto narrow = [](const Tensor& tensor) { return tensor && tensor.type.dtype == DType::bf16; };
  return std::ranges::any_of(call.in, narrow) || std::ranges::any_of(call.out, narrow);
}

}  // namespace

Checker::Copy Checker::copy_of(const Machine& machine, const Tensor& tensor) {
  Copy copy;
  if (!tensor) return copy;
  switch (tensor.type.dtype) {
    case DType::i32:
      copy.ids = fetched<std::int32_t>(machine, tensor);
      return copy;
    case DType::bf16:
      for (const std::uint16_t bits : fetched<std::uint16_t>(machine, tensor)) copy.narrow.push_back(bf16_value(bits));
      break;
    default:
      copy.narrow = fetched<float>(machine, tensor);
  }
  copy.wide.assign(copy.narrow.begin(), copy.narrow.end());
  return copy;
}

Tensor Checker::view(Copy& copy, const Tensor& like, DType real) {
  if (!like) return {};
  if (like.type.dtype == DType::i32) return {copy.ids.data(), like.type};
  void* data = real == DType::f64 ? static_cast<void*>(copy.wide.data()) : static_cast<void*>(copy.narrow.data());
  return {data, {real, like.shape()}};
}

void Checker::before(const Executor& executor, const Node&, const OpCall& call) {
  inputs_.clear(), outputs_.clear();
  for (const Tensor& tensor : call.in) inputs_.push_back(copy_of(executor.machine(), tensor));
  for (const Tensor& tensor : call.out) outputs_.push_back(copy_of(executor.machine(), tensor));
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
  const bool narrow = any_bf16(call);
  const auto size_of = [](const Copy& copy) {
    double largest = 0;
    for (const double value : copy.wide) largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
    return largest;
  };
  double largest_stored = 0;
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    const bool stored_narrow = call.out[o] && call.out[o].type.dtype == DType::bf16;
    if (stored_narrow) largest_stored = std::max(largest_stored, size_of(outputs_[o]));
  }
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    const Copy& copy = outputs_[o];
    if (copy.wide.empty()) continue;
    const std::vector<float> got = copy_of(executor.machine(), call.out[o]).narrow;
    double plain_error = 0;
    for (std::size_t i = 0; i < copy.wide.size(); ++i) {
      const double error = std::abs(copy.wide[i] - static_cast<double>(copy.narrow[i]));
      if (std::isfinite(error)) plain_error = std::max(plain_error, error);
    }
    const double floor = narrow ? kFloorBf16 * std::max(size_of(copy), largest_stored) : kFloor * size_of(copy);
    const double bound = kMultiple * plain_error + floor;
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
