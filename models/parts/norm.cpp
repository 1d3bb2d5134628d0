#include "models/parts/builder.h"

namespace isoloss {

ValueId add_and_norm(Builder& builder, ResidualStream& stream, Norm norm, const std::string& name) {
  Graph& graph = builder.graph;
  const bool pending = stream.branch != kAbsent;
  if (norm == Norm::none) {
    if (pending) stream = {graph.apply("add", name + ".add", {}, {stream.sum, stream.branch}), kAbsent};
    return stream.sum;
  }
  const Shape shape{builder.spec.width};
  const bool layernorm = norm == Norm::layernorm;
  std::vector<ValueId> in{stream.sum};
  if (pending) in.push_back(stream.branch);
  in.push_back(builder.parameter(name + ".weight", shape, {Initialisation::Kind::ones}));
  if (layernorm) {
    in.push_back(builder.spec.bias ? builder.parameter(name + ".bias", shape, {Initialisation::Kind::zeros}) : kAbsent);
  }
  const std::string op = std::string(pending ? "add_" : "") + (layernorm ? "layernorm" : "rmsnorm");
  const std::vector<ValueId> out = graph.add(op, name, {{"epsilon", 1e-5}}, in);
  const OpDef& definition = find_op(op);
  if (pending) stream = {out[static_cast<std::size_t>(definition.output("sum"))], kAbsent};
  return out[static_cast<std::size_t>(definition.output("y"))];
}

}  // namespace isoloss
