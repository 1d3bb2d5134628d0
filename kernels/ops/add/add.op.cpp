#include "kernels/ops/add/add.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const OpTypes& types) {
  expect_real("add", "a", types.in[0]);
  expect_type("add", "b", types.in[1], types.in[0]);
  return {types.in[0]};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 1); }

}  // namespace

std::vector<OpDef> define_add() {
  return {{.name = "add",
           .inputs = {{"a"}, {"b"}},
           .outputs = {{.name = "y", .in_place_of = "a"}},
           .infer = infer,
           .cost = cost,
           .gradient = {.op = "", .reads = {}, .writes = {}, .aliases = {{"y", "a"}, {"y", "b"}}},
           .launch = {add_ref, add_cpu, add_cuda}}};
}

}  // namespace isoloss
