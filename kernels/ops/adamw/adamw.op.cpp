#include "kernels/ops/adamw/adamw.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const OpTypes& types) {
  const TensorType& parameter = types.in[0];
  expect(is_real(parameter) && parameter.shape.rank() == 1, "adamw", "parameter a real [n]", parameter.text());
  expect_type("adamw", "gradient", types.in[1], parameter);
  expect_type("adamw", "m", types.in[2], parameter);
  expect_type("adamw", "v", types.in[3], parameter);
  expect_type("adamw", "factor", types.in[4], {parameter.dtype, {1}});
  expect_decay_count("adamw", types.attributes, parameter.shape.count());
  return {parameter, parameter, parameter, working_type(types)};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 14); }

}  // namespace

std::vector<OpDef> define_adamw() {
  return {{.name = "adamw",
           .inputs = {{"parameter"}, {"gradient"}, {"m"}, {"v"}, {"factor"}},
           .outputs = {{.name = "parameter_out", .in_place_of = "parameter"},
                       {.name = "m_out", .in_place_of = "m"},
                       {.name = "v_out", .in_place_of = "v"},
                       {.name = "working"}},
           .attributes = {{"beta1"},
                          {"beta2"},
                          {"epsilon"},
                          {"weight_decay"},
                          {"decay_count", AttributeType::integer},
                          {"working", AttributeType::flag, 0},
                          {"rate_factor", AttributeType::real, 1}},
           .infer = infer,
           .cost = cost,
           .gradient = {},
           .launch = {adamw_ref, adamw_cpu, adamw_cuda}}};
}

}  // namespace isoloss
