#include "kernels/ops/classifier/classifier.h"

#include <fmt/format.h>

#include "kernels/core/rules.h"
#include "kernels/ops/classifier/classifier_cuda.h"
#include "kernels/ops/softcap/softcap.h"

namespace isoloss {

namespace {

/// The attribute vocab, which must fit the `width` rows of w or columns of logits.
void check_vocab(std::string_view op, const Attributes& attributes, std::int64_t width) {
  const std::int64_t vocab = attributes.integer("vocab");
  expect(vocab >= 1 && vocab <= width, op, fmt::format("vocab in 1 … {}", width), fmt::format("{}", vocab));
  const double cap = logit_softcap(attributes);
  expect(cap >= 0 && std::isfinite(cap), op, "a finite softcap of at least 0", fmt::format("{:g}", cap));
}

/// targets, one for each row of `like` (x or logits).
void check_targets(std::string_view op, const TensorType& targets, const TensorType& like) {
  const bool fits = targets.dtype == DType::i32 && targets.shape.rank() == like.shape.rank() - 1 &&
                    targets.shape == like.shape.without_last();
  expect(fits, op, "targets " + TensorType{DType::i32, like.shape.without_last()}.text(), targets.text());
}

TensorType per_row(const TensorType& like) { return {wide(like.dtype), {like.shape.rows()}}; }

void check_classifier(std::string_view op, const OpTypes& types) {
  using namespace classifier_ports;
  const TensorType &x = types.in[kX], &w = types.in[kW];
  expect_real(op, "x", x, 2);
  expect(w.dtype == x.dtype && w.shape.rank() == 2 && w.shape[1] == x.shape[-1], op,
         fmt::format("w {}[V', C] with C = {}", name_of(x.dtype), x.shape[-1]), w.text());
  check_vocab(op, types.attributes, w.shape[0]);
  check_targets(op, types.in[kTargets], x);
}

std::vector<TensorType> infer_classifier(const OpTypes& types) {
  check_classifier("classifier", types);
  const TensorType& x = types.in[classifier_ports::kX];
  return {per_row(x), {wide(x.dtype), {1}}};
}

std::vector<TensorType> infer_gradient(const OpTypes& types) {
  check_classifier("classifier_gradient", types);
  const TensorType& x = types.in[classifier_ports::kX];
  return {per_row(x), {wide(x.dtype), {1}}, x, wide(types.in[classifier_ports::kW])};
}

void check_cross_entropy(std::string_view op, const OpTypes& types) {
  using namespace cross_entropy_ports;
  const TensorType& logits = types.in[kLogits];
  expect_real(op, "logits", logits, 2);
  check_vocab(op, types.attributes, logits.shape[-1]);
  check_targets(op, types.in[kTargets], logits);
}

std::vector<TensorType> infer_cross_entropy(const OpTypes& types) {
  check_cross_entropy("cross_entropy", types);
  const TensorType& logits = types.in[cross_entropy_ports::kLogits];
  return {per_row(logits), {wide(logits.dtype), {1}}};
}

std::vector<TensorType> infer_cross_entropy_backward(const OpTypes& types) {
  check_cross_entropy("cross_entropy_backward", types);
  return {types.in[cross_entropy_ports::kLogits]};
}

constexpr double kLossFlops = 4, kGradientFlops = 3;  // a logit; see classifier.h

double flops_a_logit(const Attributes& attributes, bool gradient) {
  const bool capped = logit_softcap(attributes) > 0;
  return kLossFlops + (capped ? kSoftcapFlops : 0) +
         (gradient ? kGradientFlops + (capped ? kSoftcapSlopeFlops : 0) : 0);
}

double logits_of(const Shape& rows_of, const Attributes& attributes) {
  return static_cast<double>(rows_of.rows()) * attributes.real("vocab");
}

Cost classifier_cost(const OpTypes& types, std::span<const Mode> mode, bool dx, bool dw) {
  const Shape& x = types.in[classifier_ports::kX].shape;
  const double logits = logits_of(x, types.attributes),
               products = 1.0 + static_cast<double>(dx) + static_cast<double>(dw);
  Cost cost;
  cost.matmul_flops = 2 * logits * static_cast<double>(x[-1]) * products;
  cost.flops = cost.matmul_flops + logits * flops_a_logit(types.attributes, dx || dw);
  cost.bytes = operand_bytes(types, mode);
  return cost;
}

Cost cost_classifier(const OpTypes& types, std::span<const Mode> mode) {
  return classifier_cost(types, mode, false, false);
}

Cost cost_gradient(const OpTypes& types, std::span<const Mode> mode) {
  using namespace classifier_ports;
  return classifier_cost(types, mode, mode[kDx] != Mode::skip, mode[kDw] != Mode::skip);
}

template <bool backward>
Cost cost_cross_entropy(const OpTypes& types, std::span<const Mode> mode) {
  const double logits = logits_of(types.in[cross_entropy_ports::kLogits].shape, types.attributes);
  return {.flops = logits * flops_a_logit(types.attributes, backward),
          .matmul_flops = 0,
          .bytes = operand_bytes(types, mode)};
}

template <bool gradient>
std::size_t scratch(const OpTypes& types, DeviceKind device, int threads) {
  if (device == DeviceKind::cpu) return classifier_cpu_scratch(types, threads, gradient);
  if (device == DeviceKind::ref) return 0;
  const TensorType& x = types.in[classifier_ports::kX];
  const std::int64_t width = types.in[classifier_ports::kW].shape[0];
  const std::int64_t chunk =
      classifier_chunk_rows(x.shape.rows(), width, bytes_of(x.dtype), classifier_logits_bytes(types.attributes));
  return static_cast<std::size_t>(chunk * width) * bytes_of(x.dtype);
}

}  // namespace

std::vector<OpDef> define_classifier() {
  OpDef classifier{.name = "classifier",
                   .inputs = {{"x"}, {"w"}, {"targets"}},
                   .outputs = {{"losses"}, {"loss"}},
                   .attributes = {{"vocab", AttributeType::integer},
                                  {"scale", AttributeType::real, 1},
                                  {"softcap", AttributeType::real, 0},
                                  {"logits_bytes", AttributeType::integer, 1 << 30}},
                   .infer = infer_classifier,
                   .cost = cost_classifier,
                   .scratch = scratch<false>,
                   .gradient = {.op = "classifier_gradient",
                                .reads = {{"x", "x"}, {"w", "w"}, {"targets", "targets"}},
                                .writes = {{"dx", "x"}, {"dw", "w"}},
                                .aliases = {},
                                .replaces_forward = true,
                                .weight = "scale"},
                   .launch = {classifier_ref, classifier_cpu, classifier_cuda}};
  OpDef gradient{.name = "classifier_gradient",
                 .inputs = {{"x"}, {"w"}, {"targets"}},
                 .outputs = {{"losses"},
                             {"loss"},
                             {.name = "dx", .can_skip = true},
                             {.name = "dw", .can_accumulate = true, .can_skip = true}},
                 .infer = infer_gradient,
                 .cost = cost_gradient,
                 .scratch = scratch<true>,
                 .gradient = {},
                 .launch = {classifier_gradient_ref, classifier_gradient_cpu, classifier_gradient_cuda}};
  OpDef cross_entropy{.name = "cross_entropy",
                      .inputs = {{"logits"}, {"targets"}},
                      .outputs = {{"losses"}, {"loss"}},
                      .attributes = {{"vocab", AttributeType::integer},
                                     {"scale", AttributeType::real, 1},
                                     {"softcap", AttributeType::real, 0}},
                      .infer = infer_cross_entropy,
                      .cost = cost_cross_entropy<false>,
                      .gradient = {.op = "cross_entropy_backward",
                                   .reads = {{"logits", "logits"}, {"targets", "targets"}},
                                   .writes = {{"dlogits", "logits"}},
                                   .aliases = {}},
                      .launch = {cross_entropy_ref, cross_entropy_cpu, cross_entropy_cuda}};
  OpDef backward{.name = "cross_entropy_backward",
                 .inputs = {{"logits"}, {"targets"}},
                 .outputs = {{.name = "dlogits", .in_place_of = "logits"}},
                 .infer = infer_cross_entropy_backward,
                 .cost = cost_cross_entropy<true>,
                 .gradient = {},
                 .launch = {cross_entropy_backward_ref, cross_entropy_backward_cpu, cross_entropy_backward_cuda}};
  return {std::move(classifier), std::move(gradient), std::move(cross_entropy), std::move(backward)};
}

}  // namespace isoloss
