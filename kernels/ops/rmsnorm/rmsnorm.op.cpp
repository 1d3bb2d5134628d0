#include "kernels/ops/rmsnorm/rmsnorm.h"

#include "kernels/core/rules.h"
#include "kernels/ops/layernorm/norm.cpu.h"
#include "kernels/ops/layernorm/norm_cuda.h"

namespace isoloss {

namespace {

TensorType width_of(const TensorType& x) { return {x.dtype, {x.shape[-1]}}; }
TensorType rows_of(const TensorType& x) { return {wide(x.dtype), x.shape.without_last()}; }

std::vector<TensorType> infer_forward(const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect_real("rmsnorm", "x", x, 2);
  expect_type("rmsnorm", "w", types.in[1], width_of(x));
  return {x, rows_of(x)};
}

std::vector<TensorType> infer_add(const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect_real("add_rmsnorm", "x", x, 2);
  expect_type("add_rmsnorm", "branch", types.in[1], x);
  expect_type("add_rmsnorm", "w", types.in[2], width_of(x));
  return {x, x, rows_of(x)};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect_real("rmsnorm_backward", "x", x, 2);
  expect_type("rmsnorm_backward", "w", types.in[1], width_of(x));
  expect_type("rmsnorm_backward", "rstd", types.in[2], rows_of(x));
  expect_type("rmsnorm_backward", "dy", types.in[3], x);
  return {x, wide(types.in[1])};
}

Cost cost_forward(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 4); }
Cost cost_add(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 5); }

Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) {
  return elementwise_cost(types, mode, (mode[0] != Mode::skip ? 7 : 0) + (mode[1] != Mode::skip ? 2 : 0));
}

void check_cuda(const OpTypes& types) { expect_norm_width("rmsnorm", types.in[0].dtype, types.in[0].shape[-1]); }

std::size_t scratch_backward(const OpTypes& types, DeviceKind device, int) {
  if (device == DeviceKind::cuda) return norm_backward_cuda_scratch(types.in[0].shape.rows(), types.in[1].shape[0]);
  return device == DeviceKind::cpu ? static_cast<std::size_t>(kNormChunks) * 2 * types.in[1].bytes() : 0;
}

}  // namespace

std::vector<OpDef> define_rmsnorm() {
  return {{.name = "rmsnorm",
           .inputs = {{"x"}, {"w"}},
           .outputs = {{"y"}, {.name = "rstd", .saved = true}},
           .attributes = {{"epsilon"}},
           .infer = infer_forward,
           .cost = cost_forward,
           .check_cuda = check_cuda,
           .gradient = {.op = "rmsnorm_backward",
                        .reads = {{"x", "x"}, {"w", "w"}, {"rstd", "rstd"}, {"dy", "dy"}},
                        .writes = {{"dx", "x"}, {"dw", "w"}},
                        .aliases = {}},
           .launch = {rmsnorm_ref, rmsnorm_cpu, rmsnorm_cuda}},
          {.name = "add_rmsnorm",
           .inputs = {{"x"}, {"branch"}, {"w"}},
           .outputs = {{.name = "sum", .in_place_of = "x"}, {"y"}, {.name = "rstd", .saved = true}},
           .attributes = {{"epsilon"}},
           .infer = infer_add,
           .cost = cost_add,
           .check_cuda = check_cuda,
           .gradient = {.op = "rmsnorm_backward",
                        .reads = {{"x", "sum"}, {"w", "w"}, {"rstd", "rstd"}, {"dy", "dy"}},
                        .writes = {{"dx", "sum"}, {"dw", "w"}},
                        .aliases = {{"sum", "x"}, {"sum", "branch"}}},
           .launch = {add_rmsnorm_ref, add_rmsnorm_cpu, add_rmsnorm_cuda}},
          {.name = "rmsnorm_backward",
           .inputs = {{"x"}, {"w"}, {"rstd"}, {"dy"}},
           .outputs = {{.name = "dx", .can_accumulate = true, .can_skip = true},
                       {.name = "dw", .can_accumulate = true, .can_skip = true}},
           .infer = infer_backward,
           .cost = cost_backward,
           .check_cuda = check_cuda,
           .scratch = scratch_backward,
           .gradient = {},
           .launch = {rmsnorm_backward_ref, rmsnorm_backward_cpu, rmsnorm_backward_cuda}}};
}

}  // namespace isoloss
