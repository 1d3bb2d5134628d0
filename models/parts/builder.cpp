#include "models/parts/builder.h"

#include <cmath>
#include <utility>

#include "kernels/base/philox.h"

namespace isoloss {

ValueId Builder::parameter(const std::string& name, const Shape& shape, Initialisation init, std::int64_t rows,
                           ParameterRole role) {
  if (!store.has(name)) store.declare(name, shape, init, rows, std::move(role));
  return graph.add_parameter(name, shape);
}

Initialisation Builder::matrix_init(bool residual) const {
  const double scale = residual ? std::sqrt(2.0 * static_cast<double>(spec.layers)) : 1.0;
  return {Initialisation::Kind::normal, spec.init_std / scale};
}

ValueId Builder::linear(const std::string& name, ValueId x, std::int64_t in, std::int64_t out, Activation activation,
                        bool residual, std::vector<std::int64_t> columns) {
  const ValueId weight =
      parameter(name + ".weight", {in, out}, matrix_init(residual), -1, {.columns = std::move(columns)});
  const ValueId bias = spec.bias ? parameter(name + ".bias", {out}, {Initialisation::Kind::zeros}) : kAbsent;
  return graph.apply("linear", name, {{"activation", static_cast<double>(activation)}, {"transposed", 0}},
                     {x, weight, bias});
}

double Builder::dropout_node(const std::string& name) {
  constexpr std::uint64_t exact_in_double = (std::uint64_t{1} << 48) - 1;
  return static_cast<double>(hash_name(name) & exact_in_double);
}

ValueId Builder::dropout(const std::string& name, ValueId x) {
  if (purpose != Purpose::training || spec.dropout == 0) return x;
  return graph.apply("dropout", name, {{"p", spec.dropout}, {"node", dropout_node(name)}}, {x});
}

}  // namespace isoloss
