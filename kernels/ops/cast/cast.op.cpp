#include "kernels/ops/cast/cast.h"

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

std::vector<TensorType> infer(const OpTypes& types) {
  const TensorType& x = types.in[0];
  expect(is_real(x) && x.dtype != DType::bf16, "cast", "x in f32 or f64", x.text());
  return {{DType::bf16, x.shape}};
}

Cost cost(const OpTypes& types, std::span<const Mode> mode) { return elementwise_cost(types, mode, 0); }

}  // namespace

std::vector<OpDef> define_cast() {
  return {{.name = "cast",
           .inputs = {{"x"}},
           .outputs = {{.name = "y"}},
           .infer = infer,
           .cost = cost,
           .gradient = {},
           .launch = {cast_ref, nullptr, cast_cuda}}};
}

}  // namespace isoloss
