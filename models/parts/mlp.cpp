#include "models/parts/builder.h"

namespace isoloss {

namespace {

Activation activation_of(Mlp mlp) {
  switch (mlp) {
    case Mlp::gelu:
      return Activation::gelu;
    case Mlp::gelu_tanh:
      return Activation::gelu_tanh;
    case Mlp::relu2:
      return Activation::relu2;
    case Mlp::swiglu:
      break;
  }
  return Activation::none;
}

}  // namespace

ValueId mlp_branch(Builder& builder, const std::string& prefix, ValueId x) {
  const ModelSpec& spec = builder.spec;
  const std::string name = prefix + "mlp";
  const std::int64_t hidden = spec.hidden();
  ValueId h = kAbsent;
  if (spec.mlp == Mlp::swiglu) {
    const ValueId gate = builder.linear(name + ".c_gate", x, spec.width, hidden);
    const ValueId up = builder.linear(name + ".c_fc", x, spec.width, hidden);
    h = builder.graph.apply("swiglu", name + ".swiglu", {}, {gate, up});
  } else {
    h = builder.linear(name + ".c_fc", x, spec.width, hidden, activation_of(spec.mlp));
  }
  const ValueId out = builder.linear(name + ".c_proj", h, hidden, spec.width, Activation::none, /*residual=*/true);
  return builder.dropout(name + ".dropout", out);
}

}  // namespace isoloss
