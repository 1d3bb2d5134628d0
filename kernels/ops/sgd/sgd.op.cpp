#include "kernels/ops/sgd/sgd.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const OpTypes& types) {
  const TensorType& parameter = types.in[0];
  expect(is_real(parameter) && parameter.shape.rank() == 1, "sgd", "parameter a real [n]", parameter.text());
  expect_type("sgd", "gradient", types.in[1], parameter);
  const bool momentum = types.attributes.real("beta1") != 0 || types.in[2].present();
  if (momentum) expect_type("sgd", "m", types.in[2], parameter);
  expect_type("sgd", "factor", types.in[3], {parameter.dtype, {1}});
  expect_decay_count("sgd", types.attributes, parameter.shape.count());
  return {parameter, momentum ? parameter : TensorType{}, working_type(types)};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 6); }

}  // namespace

std::vector<OpDef> define_sgd() {
  return {{.name = "sgd",
           .inputs = {{"parameter"}, {"gradient"}, {.name = "m", .optional = true}, {"factor"}},
           .outputs = {{.name = "parameter_out", .in_place_of = "parameter"},
                       {.name = "m_out", .in_place_of = "m"},
                       {.name = "working"}},
           .attributes = {{"beta1"},
                          {"weight_decay"},
                          {"decay_count", AttributeType::integer},
                          {"working", AttributeType::flag, 0},
                          {"rate_factor", AttributeType::real, 1}},
           .infer = infer,
           .cost = cost,
           .gradient = {},
           .launch = {sgd_ref, sgd_cpu, sgd_cuda}}};
}

}  // namespace isoloss
