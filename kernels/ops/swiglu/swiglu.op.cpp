#include "kernels/ops/swiglu/swiglu.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer_forward(const OpTypes& types) {
  expect_real("swiglu", "gate", types.in[0]);
  expect_type("swiglu", "up", types.in[1], types.in[0]);
  return {types.in[0]};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  expect_real("swiglu_backward", "gate", types.in[0]);
  expect_type("swiglu_backward", "up", types.in[1], types.in[0]);
  expect_type("swiglu_backward", "dy", types.in[2], types.in[0]);
  return {types.in[0], types.in[0]};
}

Cost cost_forward(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 5); }
Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 12); }

}  // namespace

std::vector<OpDef> define_swiglu() {
  return {{.name = "swiglu",
           .inputs = {{"gate"}, {"up"}},
           .outputs = {{"y"}},
           .infer = infer_forward,
           .cost = cost_forward,
           .gradient = {.op = "swiglu_backward",
                        .reads = {{"gate", "gate"}, {"up", "up"}, {"dy", "dy"}},
                        .writes = {{"dgate", "gate"}, {"dup", "up"}},
                        .aliases = {}},
           .launch = {swiglu_ref, swiglu_cpu, swiglu_cuda}},
          {.name = "swiglu_backward",
           .inputs = {{"gate"}, {"up"}, {"dy"}},
           .outputs = {{.name = "dgate", .in_place_of = "dy", .can_accumulate = true},
                       {.name = "dup", .in_place_of = "up", .can_accumulate = true}},
           .infer = infer_backward,
           .cost = cost_backward,
           .gradient = {},
           .launch = {swiglu_backward_ref, swiglu_backward_cpu, swiglu_backward_cuda}}};
}

}  // namespace isoloss
