#include "kernels/ops/fill/fill.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const OpTypes& types) {
  expect_real("fill", "like", types.in[0]);
  return {types.in[0]};
}

Cost cost(const OpTypes& types, std::span<const Mode>) {
  return {.flops = 0, .matmul_flops = 0, .bytes = static_cast<double>(types.in[0].bytes())};
}

}  // namespace

std::vector<OpDef> define_fill() {
  return {{.name = "fill",
           .inputs = {{"like"}},
           .outputs = {{"y"}},
           .attributes = {{"value"}},
           .infer = infer,
           .cost = cost,
           .gradient = {},
           .launch = {fill_ref, nullptr, fill_cuda}}};
}

}  // namespace isoloss
