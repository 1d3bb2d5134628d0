#include "kernels/ops/gating/gating.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "kernels/core/rules.h"

namespace isoloss {

using namespace gating_ports;

namespace {

GatingSizes checked_sizes(std::string_view op, const OpTypes& types) {
  const TensorType& logits = types.in[kLogits];
  expect(is_real(logits) && logits.shape.rank() == 2 && logits.shape[1] <= kMostExperts, op,
         fmt::format("logits real [N, E] with E up to {}", kMostExperts), logits.text());
  const GatingSizes size(logits.shape, types.attributes);
  const std::int64_t most = std::min(kMostChoices, size.experts);
  expect(size.choices >= 1 && size.choices <= most, op, fmt::format("top_k from 1 to {}", most),
         fmt::format("{}", size.choices));
  expect(size.tokens * size.choices <= INT32_MAX, op, "fewer than 2^31 choices",
         fmt::format("{}", size.tokens * size.choices));
  return size;
}

std::vector<TensorType> infer(const OpTypes& types) {
  const GatingSizes size = checked_sizes("gating", types);
  const DType real = wide(types.in[kLogits].dtype);
  const std::int64_t slots = size.tokens * size.choices;
  return {{real, {size.tokens, size.choices}},
          {DType::i32, {size.tokens, size.choices}},
          {DType::i32, {size.experts}},
          {DType::i32, {size.experts + 1}},
          {DType::i32, {slots}},
          {DType::i32, {slots}},
          {real, {size.experts}},
          {real, {size.experts}}};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  constexpr const char* kOp = "gating_backward";
  const GatingSizes size = checked_sizes(kOp, types);
  const DType real = wide(types.in[kBackLogits].dtype);
  expect_type(kOp, "experts", types.in[kBackExperts], {DType::i32, {size.tokens, size.choices}});
  expect_type(kOp, "dweights", types.in[kBackDweights], {real, {size.tokens, size.choices}});
  expect_type_or_absent(kOp, "dmean_probability", types.in[kBackDmean], {real, {size.experts}});
  return {types.in[kBackLogits]};
}

template <int flops_per_logit>
Cost cost(const OpTypes& types, std::span<const Mode> mode) {
  return elementwise_cost(types, mode, flops_per_logit);
}

std::size_t scratch(const OpTypes& types, DeviceKind device, int) {
  if (device != DeviceKind::cuda) return 0;
  const GatingSizes size(types.in[kLogits].shape, types.attributes);
  return static_cast<std::size_t>(size.chunks() * size.experts) * (sizeof(std::int32_t) + sizeof(float));
}

}  // namespace

std::vector<OpDef> define_gating() {
  OpDef forward{.name = "gating",
                .inputs = {{"logits"}},
                .outputs = {{"weights"},
                            {"experts"},
                            {"counts"},
                            {"offsets"},
                            {"permutation"},
                            {"inverse"},
                            {"mean_probability"},
                            {"token_fraction"}},
                .attributes = {{"top_k", AttributeType::integer},
                               {"sigmoid", AttributeType::flag, 0},
                               {"normalise", AttributeType::flag, 0}},
                .infer = infer,
                .cost = cost<5>,
                .scratch = scratch,
                .gradient = {.op = "gating_backward",
                             .reads = {{"logits", "logits"},
                                       {"experts", "experts"},
                                       {"dweights", "dweights"},
                                       {"dmean_probability", "dmean_probability"}},
                             .writes = {{"dlogits", "logits"}},
                             .aliases = {}},
                .launch = {gating_ref, nullptr, gating_cuda}};
  OpDef backward{.name = "gating_backward",
                 .inputs = {{"logits"}, {"experts"}, {"dweights"}, {"dmean_probability", true}},
                 .outputs = {{.name = "dlogits", .can_accumulate = true}},
                 .infer = infer_backward,
                 .cost = cost<6>,
                 .gradient = {},
                 .launch = {gating_backward_ref, nullptr, gating_backward_cuda}};
  return {std::move(forward), std::move(backward)};
}

}  // namespace isoloss
