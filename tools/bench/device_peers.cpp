#include "tools/bench/device_peers.h"

#include <fmt/format.h>

#include <memory>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/ops/classifier/classifier.h"
#include "kernels/ops/linear/linear.h"
#include "tools/bench/device_products.h"
#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

using Products = std::vector<Matmul>;

Projection projection_of(const Shape& x, const Shape& w, bool transposed) {
  return {"", x.rows(), w[transposed ? 0 : 1], x[-1], transposed};
}

/// The products of linear and linear_backward; an activation's own work is left out.
Products linear_products(const Operation& operation, int copy, bool tf32) {
  using namespace linear_ports;
  const std::vector<Tensor>&in = operation.in(copy), &out = operation.out(copy);
  const DType real = in[kX].type.dtype;
  const Projection p = projection_of(in[kX].shape(), in[kW].shape(), operation.attributes().flag("transposed"));
  if (operation.op().name == "linear") {
    return {device_product(p, Pass::forward, real, tf32, {in[kX].data, in[kW].data, out[kY].data})};
  }
  return {device_product(p, Pass::dx, real, tf32, {out[kDx].data, in[kBackW].data, in[kBackDy].data}),
          device_product(p, Pass::dw, real, tf32, {in[kBackX].data, out[kDw].data, in[kBackDy].data})};
}

/// The products of classifier and classifier_gradient, over `logits` that are stored whole.
Products classifier_products(const Operation& operation, int copy, bool tf32, const Tensor& logits) {
  using namespace classifier_ports;
  const std::vector<Tensor>&in = operation.in(copy), &out = operation.out(copy);
  const DType real = in[kX].type.dtype;
  const Projection p = projection_of(in[kX].shape(), in[kW].shape(), /*transposed=*/true);
  Products products = {device_product(p, Pass::forward, real, tf32, {in[kX].data, in[kW].data, logits.data})};
  if (operation.op().name == "classifier_gradient") {
    products.push_back(device_product(p, Pass::dx, real, tf32, {out[kDx].data, in[kW].data, logits.data}));
    products.push_back(device_product(p, Pass::dw, real, tf32, {in[kX].data, out[kDw].data, logits.data}));
  }
  return products;
}

DevicePeer matmul_peer(const Machine& machine, std::vector<Products> copies) {
  const int count = static_cast<int>(copies.size());
  const auto work = [machine, copies = std::move(copies)](int turn) {
    for (const Matmul& product : copies[static_cast<std::size_t>(turn) % copies.size()]) {
      machine.cuda().matmul(product, machine.stream());
    }
  };
  return {"matmul", {work, count}};
}

DevicePeer copy_peer(const Machine& machine, double bytes, Operands& operands) {
  const int copies = copies_beyond_cache(machine, bytes);
  const auto half = static_cast<std::size_t>(bytes / 2);
  std::vector<std::pair<Tensor, Tensor>> pairs;
  for (int copy = 0; copy < copies; ++copy) {
    const TensorType type{DType::u8, {static_cast<std::int64_t>(half)}};
    const Tensor from = operands.empty(type);
    pairs.emplace_back(from, operands.empty(type));
  }
  const auto work = [machine, pairs, half](int turn) {
    const auto& [from, to] = pairs[static_cast<std::size_t>(turn) % pairs.size()];
    machine.cuda().copy(to.data, from.data, half, machine.stream());
  };
  return {"copy", {work, copies}};
}

/// The same attention by cuDNN, on the same qkv.
std::optional<DevicePeer> cudnn_peer(const Operation& flash, Operands& operands) {
  constexpr const char *kForward = "attention_cudnn", *kBackward = "attention_cudnn_backward";
  const DeviceKind device = operands.machine().kind();
  const bool backward = flash.op().name.ends_with("_backward");
  if (!available(kForward, device) || !available(kBackward, device)) return std::nullopt;
  try {
    std::vector<std::vector<Tensor>> in;
    for (int copy = 0; copy < flash.copies(); ++copy) in.push_back({flash.in(copy).front()});
    auto made = std::make_shared<Operation>(find_op(kForward), flash.attributes(), std::move(in), operands);
    for (int copy = 0; copy < made->copies(); ++copy) made->run(copy);
    if (backward) {
      const OpDef& op = find_op(kBackward);
      made = std::make_shared<Operation>(op, flash.attributes(), backward_inputs(*made, op, operands), operands);
      made->run(0);
    }
    return DevicePeer{"cudnn", {[made](int turn) { made->run(turn); }, made->copies()}};
  } catch (const Error& error) {
    say(fmt::format("no comparison of {} with cuDNN: {}", flash.op().name, error.what()));
    return std::nullopt;
  }
}

}  // namespace

std::optional<DevicePeer> peer_of(const Operation& operation, Operands& operands) {
  const Machine& machine = operands.machine();
  const std::string_view name = operation.op().name;
  const bool classifies = name == "classifier" || name == "classifier_gradient";
  if (classifies || name == "linear" || name == "linear_backward") {
    const bool tf32 = uses_tf32(machine);
    Tensor logits;
    if (classifies) {
      const Tensor &x = operation.in(0)[classifier_ports::kX], &w = operation.in(0)[classifier_ports::kW];
      logits = operands.random({x.type.dtype, {x.shape().rows(), w.shape()[0]}});
    }
    std::vector<Products> copies;
    for (int copy = 0; copy < operation.copies(); ++copy) {
      copies.push_back(classifies ? classifier_products(operation, copy, tf32, logits)
                                  : linear_products(operation, copy, tf32));
    }
    return matmul_peer(machine, std::move(copies));
  }
  if (name.starts_with("attention_flash")) return cudnn_peer(operation, operands);
  if (name.starts_with("attention_naive") || name.starts_with("attention_cudnn")) return std::nullopt;
  return copy_peer(machine, operation.cost().bytes, operands);
}

}  // namespace isoloss::bench
