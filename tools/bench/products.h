// The matrix products of a training step one by one, beside those of other libraries.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/bench/cases.h"

namespace isoloss::bench {

struct ProductRow {
  std::string layer, pass;
  std::int64_t m, n, k;
  /// Library ("isoloss" first) and FLOP/s by median time.
  std::vector<std::pair<std::string, double>> speeds;
};

/// Forward, dX and dW of every projection and of the classifier, `seconds` for each library; they take turns.
std::vector<ProductRow> measure_products(const Shapes& shapes, double seconds);

}  // namespace isoloss::bench
