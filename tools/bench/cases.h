// What `bench` measures: the operations of a training step at the sizes of named models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/op.h"

namespace isoloss::bench {

/// Sizes of a training step.
struct Shapes {
  const char* name;
  std::int64_t rows, context, width, heads, vocab;  // sequences a micro-batch, tokens each

  std::int64_t tokens() const { return rows * context; }
  std::int64_t padded_vocab() const { return (vocab + 63) / 64 * 64; }
};

const std::vector<Shapes>& all_shapes();
/// By name; throws an input error that lists the names.
const Shapes& find_shapes(const std::string& name);

/// One forward (or optimizer) operation; its backward operation follows from its gradient record.
struct Case {
  std::string op, what;  ///< `what` tells cases of the same op apart, such as "fc"
  Attributes attributes;
  std::vector<TensorType> in;
};
std::vector<Case> cases_of(const Shapes& shapes);

}  // namespace isoloss::bench
