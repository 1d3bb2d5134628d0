#include "kernels/ops/embedding/embedding.h"

#include <string>

#include "kernels/core/rules.h"
#include "kernels/ops/embedding/embedding_cuda.h"

namespace isoloss {

namespace {

void expect_tables(std::string_view op, const TensorType& ids, const TensorType& token, const TensorType& position) {
  expect(ids.dtype == DType::i32 && ids.shape.rank() == 2, op, "ids i32[B, T]", ids.text());
  expect(is_real(token) && token.shape.rank() == 2, op, "token a real [V, C]", token.text());
  if (!position.present()) return;
  const bool fits = position.dtype == token.dtype && position.shape.rank() == 2 &&
                    position.shape[1] == token.shape[1] && position.shape[0] >= ids.shape[1];
  expect(fits, op,
         "position " + std::string(name_of(token.dtype)) + "[P, " + std::to_string(token.shape[1]) +
             "] with P >= " + std::to_string(ids.shape[1]),
         position.text());
}

std::vector<TensorType> infer_forward(const OpTypes& types) {
  const TensorType &ids = types.in[0], &token = types.in[1], &position = types.in[2];
  expect_tables("embedding", ids, token, position);
  expect(!types.attributes.flag("sinusoidal") || !position.present(), "embedding",
         "a learned or a sinusoidal position embedding", "both");
  return {{token.dtype, {ids.shape[0], ids.shape[1], token.shape[1]}}};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  const TensorType &ids = types.in[0], &dy = types.in[1], &token = types.in[2], &position = types.in[3];
  expect_tables("embedding_backward", ids, token, position);
  expect_type("embedding_backward", "dy", dy, {token.dtype, {ids.shape[0], ids.shape[1], token.shape[1]}});
  return {wide(token), position.present() ? wide(position) : TensorType{}};
}

Cost cost_forward(const OpTypes& types, std::span<const Mode>) {
  const TensorType &ids = types.in[0], &position = types.in[2], &y = types.out[0];
  const bool adds = position.present() || types.attributes.flag("sinusoidal");
  const double rows = static_cast<double>(ids.shape[1] * y.shape[2]) * static_cast<double>(bytes_of(y.dtype));
  return {.flops = adds ? static_cast<double>(y.shape.count()) : 0,
          .matmul_flops = 0,
          .bytes = static_cast<double>(ids.bytes() + 2 * y.bytes()) + (position.present() ? rows : 0)};
}

Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) {
  const TensorType &ids = types.in[0], &dy = types.in[1];
  Cost cost{.flops = 0, .matmul_flops = 0, .bytes = static_cast<double>(ids.bytes() + dy.bytes())};
  for (const std::size_t o : {0u, 1u}) {
    if (mode[o] == Mode::skip) continue;
    cost.flops += static_cast<double>(dy.shape.count());
    // Hit rows are read and written; a gradient that is written is cleared first.
    cost.bytes += 2 * static_cast<double>(dy.bytes());
    if (mode[o] == Mode::write) cost.bytes += static_cast<double>(types.out[o].bytes());
  }
  return cost;
}

std::size_t scratch_forward(const OpTypes& types, DeviceKind device, int threads) {
  if (device == DeviceKind::ref || !types.attributes.flag("sinusoidal")) return 0;
  const Shape& y = types.out[0].shape;
  if (device == DeviceKind::cuda) return static_cast<std::size_t>(y[1] * y[2]) * sizeof(float);
  const auto width = static_cast<std::size_t>(types.in[1].shape[1]);
  return (width + 1) / 2 * sizeof(double) + static_cast<std::size_t>(threads) * width * sizeof(float);
}

std::size_t scratch_backward(const OpTypes& types, DeviceKind device, int) {
  return device == DeviceKind::cuda ? EmbeddingSort(types.in[0].shape.count(), types.in[2].shape[1]).bytes() : 0;
}

}  // namespace

std::vector<OpDef> define_embedding() {
  return {{.name = "embedding",
           .inputs = {{"ids"}, {"token"}, {.name = "position", .optional = true}},
           .outputs = {{"y"}},
           .attributes = {{"sinusoidal", AttributeType::flag, 0}},
           .infer = infer_forward,
           .cost = cost_forward,
           .scratch = scratch_forward,
           .gradient = {.op = "embedding_backward",
                        .reads = {{"ids", "ids"}, {"dy", "dy"}, {"token", "token"}, {"position", "position"}},
                        .writes = {{"dtoken", "token"}, {"dposition", "position"}},
                        .aliases = {}},
           .launch = {embedding_ref, embedding_cpu, embedding_cuda}},
          {.name = "embedding_backward",
           .inputs = {{"ids"}, {"dy"}, {"token"}, {.name = "position", .optional = true}},
           .outputs = {{.name = "dtoken", .can_accumulate = true, .can_skip = true},
                       {.name = "dposition", .can_accumulate = true, .can_skip = true}},
           .infer = infer_backward,
           .cost = cost_backward,
           .scratch = scratch_backward,
           .gradient = {},
           .launch = {embedding_backward_ref, embedding_backward_cpu, embedding_backward_cuda}}};
}

}  // namespace isoloss
