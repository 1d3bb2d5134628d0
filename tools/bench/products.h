// The matrix products of a training step one by one, on the host beside those of other libraries.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/machine.h"
#include "tools/bench/cases.h"

namespace isoloss::bench {

/// y [m,n] = x [m,k] · w, where w is [k,n], or [n,k] when transposed.
struct Projection {
  const char* layer;
  std::int64_t m, n, k;
  bool transposed;
};
/// Those of a layer, and the classifier of `vocab` columns with at most `classifier_rows` rows.
std::vector<Projection> projections_of(const Shapes& shapes, std::int64_t classifier_rows, std::int64_t vocab);

enum class Pass : std::uint8_t { forward, dx, dw };
inline constexpr Pass kPasses[] = {Pass::forward, Pass::dx, Pass::dw};
const char* name_of(Pass pass);
/// Of each of the passes.
double product_flops(const Projection& projection);

struct ProductRow {
  std::string layer, pass;
  std::int64_t m, n, k;
  /// Library and FLOP/s by median time: "isoloss" first on the host, "device" alone on a device.
  std::vector<std::pair<std::string, double>> speeds;
};

/// Forward, dX and dW of every projection and of the classifier, `seconds` for each library; they take turns. Operands
/// of type `real`, which on the host is f32.
std::vector<ProductRow> measure_products(const Shapes& shapes, const Machine& machine, DType real, double seconds);

}  // namespace isoloss::bench
