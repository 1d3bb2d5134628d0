#include "models/parts/builder.h"

namespace isoloss {

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
    const int activation = spec.mlp == Mlp::gelu ? 1 : spec.mlp == Mlp::gelu_tanh ? 2 : 3;
    h = builder.linear(name + ".c_fc", x, spec.width, hidden, activation);
  }
  const ValueId out = builder.linear(name + ".c_proj", h, hidden, spec.width, 0, /*residual=*/true);
  return builder.dropout(name + ".dropout", out);
}

}  // namespace isoloss
