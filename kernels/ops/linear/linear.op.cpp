#include "kernels/ops/linear/linear.h"

#include <fmt/format.h>

#include "kernels/core/rules.h"
#include "kernels/ops/linear/linear_cuda.h"

namespace isoloss {

using namespace linear_ports;

namespace {

/// x [...,K] and w [K,N] or [N,K], both of one real type.
void check_operands(std::string_view op, const OpTypes& types) {
  const TensorType &x = types.in[0], &w = types.in[1];
  expect_real(op, "x", x);
  const bool transposed = types.attributes.flag("transposed");
  expect(w.dtype == x.dtype && w.shape.rank() == 2 && w.shape[transposed ? 1 : 0] == x.shape[-1], op,
         fmt::format("w {}[{}] with K = {}", name_of(x.dtype), transposed ? "N, K" : "K, N", x.shape[-1]), w.text());
}

std::vector<TensorType> infer(const OpTypes& types) {
  check_operands("linear", types);
  const Activation activation = linear_activation(types.attributes);
  const TensorType &x = types.in[kX], &bias = types.in[kBias];
  const LinearSizes size(x.shape, types.in[kW].shape, types.attributes);
  const TensorType vector{x.dtype, {size.n}};
  expect_type_or_absent("linear", "bias", bias, vector);
  const TensorType y{x.dtype, x.shape.with_last(size.n)};
  return {y, activation == Activation::none ? TensorType{} : y};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  constexpr const char* kOp = "linear_backward";
  check_operands(kOp, types);
  const Activation activation = linear_activation(types.attributes);
  const TensorType &x = types.in[kBackX], &pre = types.in[kBackPre], &dy = types.in[kBackDy];
  const TensorType& bias = types.in[kBackBias];
  const LinearSizes size(x.shape, types.in[kBackW].shape, types.attributes);
  const TensorType y{x.dtype, x.shape.with_last(size.n)}, vector{x.dtype, {size.n}};
  expect_type(kOp, "dy", dy, y);
  expect_type_or_absent(kOp, "bias", bias, vector);
  const bool activated = activation != Activation::none;
  expect(activated ? pre == y : !pre.present(), kOp, activated ? "pre " + y.text() : "no pre without activation",
         pre.text());
  return {x, wide(types.in[kBackW]), bias.present() ? wide(bias) : TensorType{}, activated ? y : TensorType{}};
}

double product_flops(const LinearSizes& size) {
  return 2.0 * static_cast<double>(size.m) * static_cast<double>(size.n) * static_cast<double>(size.k);
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) {
  const LinearSizes size(types.in[kX].shape, types.in[kW].shape, types.attributes);
  const double elements = static_cast<double>(size.m * size.n);
  Cost cost;
  cost.matmul_flops = product_flops(size);
  cost.flops = cost.matmul_flops + (types.in[kBias].present() ? elements : 0) +
               elements * kActivationFlops[static_cast<int>(linear_activation(types.attributes))];
  cost.bytes = operand_bytes(types, mode);
  return cost;
}

Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) {
  const LinearSizes size(types.in[kBackX].shape, types.in[kBackW].shape, types.attributes);
  const double elements = static_cast<double>(size.m * size.n);
  const bool dx = mode[kDx] != Mode::skip, dw = mode[kDw] != Mode::skip, dbias = mode[kDbias] != Mode::skip;
  const Activation activation = linear_activation(types.attributes);
  Cost cost;
  cost.matmul_flops = product_flops(size) * (static_cast<double>(dx) + static_cast<double>(dw));
  cost.flops = cost.matmul_flops + (dbias ? elements : 0);
  if (activation != Activation::none) cost.flops += elements * kActivationBackwardFlops[static_cast<int>(activation)];
  // The operand of a product that nobody wants is not read, and of the bias only the presence counts.
  cost.bytes = operand_bytes(types, mode) - static_cast<double>(types.in[kBackBias].bytes());
  if (!dw) cost.bytes -= static_cast<double>(types.in[kBackX].bytes());
  if (!dx) cost.bytes -= static_cast<double>(types.in[kBackW].bytes());
  return cost;
}

}  // namespace

std::vector<OpDef> define_linear() {
  OpDef forward{
      .name = "linear",
      .inputs = {{"x"}, {"w"}, {"bias", true}},
      .outputs = {{"y"}, {.name = "pre", .saved = true}},
      .attributes = {{"activation", AttributeType::choice, 0, kActivations}, {"transposed", AttributeType::flag, 0}},
      .infer = infer,
      .cost = cost,
      .scratch =
          [](const OpTypes& types, DeviceKind device, int threads) {
            return device == DeviceKind::cpu ? linear_cpu_scratch(types, threads) : std::size_t{0};
          },
      .gradient = {.op = "linear_backward",
                   .reads = {{"x", "x"}, {"w", "w"}, {"pre", "pre"}, {"dy", "dy"}, {"bias", "bias"}},
                   .writes = {{"dx", "x"}, {"dw", "w"}, {"dbias", "bias"}},
                   .aliases = {}},
      .launch = {linear_ref, linear_cpu, linear_cuda}};
  OpDef backward{.name = "linear_backward",
                 .inputs = {{"x"}, {"w"}, {"pre", true}, {"dy"}, {"bias", true}},
                 .outputs = {{.name = "dx", .can_accumulate = true, .can_skip = true},
                             {.name = "dw", .can_accumulate = true, .can_skip = true},
                             {.name = "dbias", .can_accumulate = true, .can_skip = true},
                             {.name = "dpre", .in_place_of = "dy"}},
                 .infer = infer_backward,
                 .cost = cost_backward,
                 .scratch =
                     [](const OpTypes& types, DeviceKind device, int threads) {
                       if (device == DeviceKind::cpu) return linear_backward_cpu_scratch(types, threads);
                       const LinearSizes size(types.in[kBackX].shape, types.in[kBackW].shape, types.attributes);
                       return device == DeviceKind::cuda ? linear_backward_cuda_scratch(size.m, size.n) : 0;
                     },
                 .gradient = {},
                 .launch = {linear_backward_ref, linear_backward_cpu, linear_backward_cuda}};
  return {std::move(forward), std::move(backward)};
}

}  // namespace isoloss
