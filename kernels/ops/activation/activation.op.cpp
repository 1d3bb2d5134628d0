#include "kernels/ops/activation/activation.h"

#include <fmt/format.h>

#include "kernels/base/error.h"
#include "kernels/core/rules.h"

namespace isoloss {

Activation activation_of(const Attributes& attributes) {
  const double kind = attributes.real("activation");
  if (!(kind >= 0 && kind < kActivations)) fail_input("activation", "a kind from 0 to 3", fmt::format("{:g}", kind));
  return static_cast<Activation>(kind);
}

namespace {

std::vector<TensorType> infer_forward(const OpTypes& types) {
  activation_of(types.attributes);
  expect_real("activation", "x", types.in[0]);
  return {types.in[0]};
}

Cost cost_forward(const OpTypes& types, std::span<const Mode> mode) {
  return elementwise_cost(types, mode, kActivationFlops[static_cast<int>(activation_of(types.attributes))]);
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  expect_real("activation_backward", "x", types.in[0]);
  expect_type("activation_backward", "dy", types.in[1], types.in[0]);
  return {types.in[0]};
}

Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) {
  return elementwise_cost(types, mode, kActivationBackwardFlops[static_cast<int>(activation_of(types.attributes))]);
}

}  // namespace

std::vector<OpDef> define_activation() {
  return {{.name = "activation",
           .inputs = {{"x"}},
           .outputs = {{"y"}},
           .attributes = {{"activation", AttributeType::choice, std::nullopt, kActivations}},
           .infer = infer_forward,
           .cost = cost_forward,
           .gradient = {.op = "activation_backward",
                        .reads = {{"x", "x"}, {"dy", "dy"}},
                        .writes = {{"dx", "x"}},
                        .aliases = {}},
           .launch = {activation_ref, activation_cpu, activation_cuda}},
          {.name = "activation_backward",
           .inputs = {{"x"}, {"dy"}},
           .outputs = {{.name = "dx", .in_place_of = "dy", .can_accumulate = true}},
           .infer = infer_backward,
           .cost = cost_backward,
           .gradient = {},
           .launch = {activation_backward_ref, activation_backward_cpu, activation_backward_cuda}}};
}

}  // namespace isoloss
