#include "kernels/ops/layernorm/layernorm.h"

#include "kernels/core/rules.h"
#include "kernels/ops/layernorm/norm.cpu.h"
#include "kernels/ops/layernorm/norm_cuda.h"

namespace isoloss {

namespace {

TensorType width_of(const TensorType& x) { return {x.dtype, {x.shape[-1]}}; }
TensorType rows_of(const TensorType& x) { return {wide(x.dtype), x.shape.without_last()}; }

std::vector<TensorType> infer_forward(const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect_real("layernorm", "x", x, 2);
  expect_type("layernorm", "w", types.in[1], width_of(x));
  expect_type_or_absent("layernorm", "b", types.in[2], width_of(x));
  return {x, rows_of(x), rows_of(x)};
}

std::vector<TensorType> infer_add(const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect_real("add_layernorm", "x", x, 2);
  expect_type("add_layernorm", "branch", types.in[1], x);
  expect_type("add_layernorm", "w", types.in[2], width_of(x));
  expect_type_or_absent("add_layernorm", "b", types.in[3], width_of(x));
  return {x, x, rows_of(x), rows_of(x)};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  const TensorType &x = types.in[0], &b = types.in[5];
  expect_real("layernorm_backward", "x", x, 2);
  expect_type("layernorm_backward", "w", types.in[1], width_of(x));
  expect_type("layernorm_backward", "mean", types.in[2], rows_of(x));
  expect_type("layernorm_backward", "rstd", types.in[3], rows_of(x));
  expect_type("layernorm_backward", "dy", types.in[4], x);
  expect_type_or_absent("layernorm_backward", "b", b, width_of(x));
  return {x, wide(types.in[1]), wide(b)};
}

Cost cost_forward(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 7); }
Cost cost_add(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 8); }

Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) {
  const double flops =
      (mode[0] != Mode::skip ? 10 : 0) + (mode[1] != Mode::skip ? 2 : 0) + (mode[2] != Mode::skip ? 1 : 0);
  Cost cost = elementwise_cost(types, mode, flops);
  cost.bytes -= static_cast<double>(types.in[5].bytes());  // b is not read
  return cost;
}

void check_cuda(const OpTypes& types) { expect_norm_width("layernorm", types.in[0].dtype, types.in[0].shape[-1]); }

std::size_t scratch_backward(const OpTypes& types, DeviceKind device, int) {
  if (device == DeviceKind::cuda) return norm_backward_cuda_scratch(types.in[0].shape.rows(), types.in[1].shape[0]);
  return device == DeviceKind::cpu ? static_cast<std::size_t>(kNormChunks) * 2 * types.in[1].bytes() : 0;
}

}  // namespace

std::vector<OpDef> define_layernorm() {
  return {
      {.name = "layernorm",
       .inputs = {{"x"}, {"w"}, {.name = "b", .optional = true}},
       .outputs = {{"y"}, {.name = "mean", .saved = true}, {.name = "rstd", .saved = true}},
       .attributes = {{"epsilon"}},
       .infer = infer_forward,
       .cost = cost_forward,
       .check_cuda = check_cuda,
       .gradient = {.op = "layernorm_backward",
                    .reads = {{"x", "x"}, {"w", "w"}, {"mean", "mean"}, {"rstd", "rstd"}, {"dy", "dy"}, {"b", "b"}},
                    .writes = {{"dx", "x"}, {"dw", "w"}, {"db", "b"}},
                    .aliases = {}},
       .launch = {layernorm_ref, layernorm_cpu, layernorm_cuda}},
      {.name = "add_layernorm",
       .inputs = {{"x"}, {"branch"}, {"w"}, {.name = "b", .optional = true}},
       .outputs = {{.name = "sum", .in_place_of = "x"},
                   {"y"},
                   {.name = "mean", .saved = true},
                   {.name = "rstd", .saved = true}},
       .attributes = {{"epsilon"}},
       .infer = infer_add,
       .cost = cost_add,
       .check_cuda = check_cuda,
       .gradient = {.op = "layernorm_backward",
                    .reads = {{"x", "sum"}, {"w", "w"}, {"mean", "mean"}, {"rstd", "rstd"}, {"dy", "dy"}, {"b", "b"}},
                    .writes = {{"dx", "sum"}, {"dw", "w"}, {"db", "b"}},
                    .aliases = {{"sum", "x"}, {"sum", "branch"}}},
       .launch = {add_layernorm_ref, add_layernorm_cpu, add_layernorm_cuda}},
      {.name = "layernorm_backward",
       .inputs = {{"x"}, {"w"}, {"mean"}, {"rstd"}, {"dy"}, {.name = "b", .optional = true}},
       .outputs = {{.name = "dx", .can_accumulate = true, .can_skip = true},
                   {.name = "dw", .can_accumulate = true, .can_skip = true},
                   {.name = "db", .can_accumulate = true, .can_skip = true}},
       .infer = infer_backward,
       .cost = cost_backward,
       .check_cuda = check_cuda,
       .scratch = scratch_backward,
       .gradient = {},
       .launch = {layernorm_backward_ref, layernorm_backward_cpu, layernorm_backward_cuda}}};
}

}  // namespace isoloss
