// Shape rules, costs and gradient records of the attention operations.
#include "kernels/ops/attention/attention.h"

#include <fmt/format.h>

#include <string>

#include "kernels/base/error.h"
#include "kernels/core/rules.h"

namespace isoloss {

namespace {

/// The sizes, after checking everything that can be wrong with qkv and the attributes.
AttentionDims checked_dims(const char* op, const OpTypes& types) {
  const TensorType& qkv = types.in[0];
  expect(qkv.shape.rank() == 3 && is_real(qkv), op, "qkv of shape [B, T, (H + 2K)·D] in f32 or f64", qkv.text());
  const std::int64_t heads = types.attributes.integer("heads"), kv_heads = types.attributes.integer("kv_heads");
  expect(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, op, "heads divisible by kv_heads",
         fmt::format("heads {}, kv_heads {}", heads, kv_heads));
  const std::int64_t lanes = heads + 2 * kv_heads;
  expect(qkv.shape[2] > 0 && qkv.shape[2] % lanes == 0, op,
         fmt::format("qkv with a last dimension divisible by heads + 2·kv_heads = {}", lanes), qkv.text());
  expect(types.attributes.integer("window") >= 0, op, "window >= 0", types.attributes.text());
  return {types.attributes, qkv.shape};
}

TensorType output_type(const OpTypes& types, const AttentionDims& dims) {
  return {types.in[0].dtype, {dims.B, dims.T, dims.H * dims.D}};
}
TensorType lse_type(const OpTypes& types, const AttentionDims& dims) {
  return {wide(types.in[0].dtype), {dims.B, dims.H, dims.T}};
}
TensorType probabilities_type(const OpTypes& types, const AttentionDims& dims) {
  return {types.in[0].dtype, {dims.B, dims.H, dims.T, dims.T}};
}

std::vector<TensorType> infer_flash(const OpTypes& types) {
  const AttentionDims dims = checked_dims("attention_flash", types);
  return {output_type(types, dims), lse_type(types, dims)};
}

/// Of the backward operations that recompute the probabilities.
std::vector<TensorType> backward_of_lse(const char* op, const OpTypes& types) {
  const AttentionDims dims = checked_dims(op, types);
  expect_type(op, "y", types.in[1], output_type(types, dims));
  expect_type(op, "lse", types.in[2], lse_type(types, dims));
  expect_type(op, "dy", types.in[3], output_type(types, dims));
  return {types.in[0]};
}

std::vector<TensorType> infer_flash_backward(const OpTypes& types) {
  return backward_of_lse("attention_flash_backward", types);
}

/// cuDNN's dropout has a generator of its own, which nothing else could repeat.
void expect_no_dropout(const char* op, const OpTypes& types) {
  expect(types.attributes.real("p") == 0, op, "no dropout (p=0)", types.attributes.text());
}

std::vector<TensorType> infer_cudnn(const OpTypes& types) {
  expect_no_dropout("attention_cudnn", types);
  const AttentionDims dims = checked_dims("attention_cudnn", types);
  return {output_type(types, dims), lse_type(types, dims)};
}

std::vector<TensorType> infer_cudnn_backward(const OpTypes& types) {
  expect_no_dropout("attention_cudnn_backward", types);
  return backward_of_lse("attention_cudnn_backward", types);
}

std::vector<TensorType> infer_naive(const OpTypes& types) {
  const AttentionDims dims = checked_dims("attention_naive", types);
  return {output_type(types, dims), probabilities_type(types, dims)};
}

std::vector<TensorType> infer_naive_backward(const OpTypes& types) {
  const char* op = "attention_naive_backward";
  const AttentionDims dims = checked_dims(op, types);
  expect_type(op, "probabilities", types.in[1], probabilities_type(types, dims));
  expect_type(op, "dy", types.in[2], output_type(types, dims));
  return {types.in[0]};
}

std::vector<TensorType> infer_cached(const OpTypes& types) {
  const char* op = "attention_cached";
  const AttentionDims dims = checked_dims(op, types);
  expect(dims.T == 1, op, "qkv of one token a sequence [B, 1, …]", types.in[0].text());
  const TensorType& cache = types.in[1];
  expect(cache.shape.rank() == 3 && cache.dtype == types.in[0].dtype && cache.shape[0] == dims.B &&
             cache.shape[2] == 2 * dims.K * dims.D,
         op, fmt::format("cache {}[{}, P, {}]", name_of(types.in[0].dtype), dims.B, 2 * dims.K * dims.D), cache.text());
  return {output_type(types, dims)};
}

/// Cost when every live pair of every query head takes `products` multiply-adds of length D and `others` more FLOPs.
Cost pair_cost(const OpTypes& types, std::span<const Mode> mode, double products, double others) {
  const AttentionDims dims(types.attributes, types.in[0].shape);
  const double T = static_cast<double>(dims.T);
  const double W = dims.window > 0 && dims.window < dims.T ? static_cast<double>(dims.window) : T;
  const double pairs = static_cast<double>(dims.B * dims.H) * (W * (W + 1) / 2 + (T - W) * W);
  const double matmul = pairs * products * 2 * static_cast<double>(dims.D);
  return {matmul + pairs * others, matmul, operand_bytes(types, mode)};
}

// Softmax of one pair: scale, subtract the maximum, exponential, sum, normalise.
Cost cost_forward(const OpTypes& types, std::span<const Mode> mode) { return pair_cost(types, mode, 2, 5); }
// Products dP, dV, dQ, dK; dS = P · (dP - delta) · scale.
Cost cost_backward(const OpTypes& types, std::span<const Mode> mode) { return pair_cost(types, mode, 4, 3); }

/// Of a full cache; earlier positions take proportionally less.
Cost cost_cached(const OpTypes& types, std::span<const Mode> mode) {
  const AttentionDims dims(types.attributes, types.in[0].shape);
  const std::int64_t positions = types.in[1].shape[1];
  const std::int64_t live = dims.window > 0 && dims.window < positions ? dims.window : positions;
  const double pairs = static_cast<double>(dims.B * dims.H * live);
  const double matmul = pairs * 4 * static_cast<double>(dims.D);
  return {matmul + pairs * 5, matmul, operand_bytes(types, mode)};
}

template <std::size_t (*bytes)(const AttentionDims&, int)>
std::size_t cpu_scratch(const OpTypes& types, DeviceKind device, int threads) {
  return device == DeviceKind::cpu ? bytes({types.attributes, types.in[0].shape}, threads) : 0;
}

/// On cuda two matrices of all pairs: the scores, where nobody keeps the probabilities, and what dropout left of them.
template <std::size_t (*bytes)(const AttentionDims&, int)>
std::size_t scratch_naive(const OpTypes& types, DeviceKind device, int threads) {
  if (device != DeviceKind::cuda) return cpu_scratch<bytes>(types, device, threads);
  return 2 * probabilities_type(types, {types.attributes, types.in[0].shape}).bytes();
}

void check_flash_cuda(const OpTypes& types) {
  expect_flash_width("attention_flash", AttentionDims(types.attributes, types.in[0].shape).D);
}

std::size_t scratch_flash_backward(const OpTypes& types, DeviceKind device, int threads) {
  if (device == DeviceKind::cuda) return types.in[2].bytes();  // delta, shaped like lse
  return cpu_scratch<attention_flash_backward_cpu_scratch>(types, device, threads);
}

/// On cuda: lse where nobody wants it. The workspace of cuDNN's plan is known only once that is built.
std::size_t scratch_cudnn(const OpTypes& types, DeviceKind device, int) {
  return device == DeviceKind::cuda ? lse_type(types, {types.attributes, types.in[0].shape}).bytes() : 0;
}

/// Likewise delta.
std::size_t scratch_cudnn_backward(const OpTypes& types, DeviceKind device, int) {
  return device == DeviceKind::cuda ? types.in[2].bytes() : 0;
}

std::size_t scratch_cached(const OpTypes& types, DeviceKind device, int threads) {
  return device == DeviceKind::cpu ? attention_cached_cpu_scratch(types.in[1].shape[1], threads) : 0;
}

}  // namespace

void expect_cache_room(std::int64_t position, std::int64_t positions) {
  if (position < 0 || position >= positions) {
    fail_run("attention_cached", fmt::format("a position below the cache's {}", positions),
             fmt::format("{}", position));
  }
}

std::vector<OpDef> define_attention() {
  const std::vector<AttributeDef> cached_attributes = {
      {"heads", AttributeType::integer}, {"kv_heads", AttributeType::integer}, {"window", AttributeType::integer}};
  std::vector<AttributeDef> attributes = cached_attributes;
  attributes.insert(attributes.end(), {{"p"}, {"node", AttributeType::integer}});
  OpDef flash;
  flash.name = "attention_flash";
  flash.inputs = {{"qkv"}};
  flash.attributes = attributes;
  flash.outputs = {{.name = "y"}, {.name = "lse", .can_skip = true, .saved = true}};
  flash.infer = infer_flash;
  flash.check_cuda = check_flash_cuda;
  flash.cost = cost_forward;
  flash.scratch = cpu_scratch<attention_flash_cpu_scratch>;
  flash.gradient.op = "attention_flash_backward";
  flash.gradient.reads = {{"qkv", "qkv"}, {"y", "y"}, {"lse", "lse"}, {"dy", "dy"}};
  flash.gradient.writes = {{"dqkv", "qkv"}};
  flash.launch = {attention_flash_ref, attention_flash_cpu, attention_flash_cuda};

  OpDef flash_backward;
  flash_backward.name = "attention_flash_backward";
  flash_backward.inputs = {{"qkv"}, {"y"}, {"lse"}, {"dy"}};
  flash_backward.outputs = {{.name = "dqkv"}};
  flash_backward.infer = infer_flash_backward;
  flash_backward.cost = cost_backward;
  flash_backward.scratch = scratch_flash_backward;
  flash_backward.launch = {attention_flash_backward_ref, attention_flash_backward_cpu, attention_flash_backward_cuda};

  // The specification is attention_flash's; the configuration is refused on every device but cuda.
  OpDef cudnn = flash;
  cudnn.name = "attention_cudnn";
  cudnn.infer = infer_cudnn;
  cudnn.check_cuda = nullptr;
  cudnn.scratch = scratch_cudnn;
  cudnn.gradient.op = "attention_cudnn_backward";
  cudnn.launch = {attention_flash_ref, nullptr, attention_cudnn_cuda};

  OpDef cudnn_backward = flash_backward;
  cudnn_backward.name = "attention_cudnn_backward";
  cudnn_backward.infer = infer_cudnn_backward;
  cudnn_backward.scratch = scratch_cudnn_backward;
  cudnn_backward.launch = {attention_flash_backward_ref, nullptr, attention_cudnn_backward_cuda};

  OpDef naive;
  naive.name = "attention_naive";
  naive.inputs = {{"qkv"}};
  naive.attributes = attributes;
  naive.outputs = {{.name = "y"}, {.name = "probabilities", .can_skip = true, .saved = true}};
  naive.infer = infer_naive;
  naive.cost = cost_forward;
  naive.scratch = scratch_naive<attention_naive_cpu_scratch>;
  naive.gradient.op = "attention_naive_backward";
  naive.gradient.reads = {{"qkv", "qkv"}, {"probabilities", "probabilities"}, {"dy", "dy"}};
  naive.gradient.writes = {{"dqkv", "qkv"}};
  naive.launch = {attention_naive_ref, attention_naive_cpu, attention_naive_cuda};

  OpDef naive_backward;
  naive_backward.name = "attention_naive_backward";
  naive_backward.inputs = {{"qkv"}, {"probabilities"}, {"dy"}};
  naive_backward.outputs = {{.name = "dqkv"}};
  naive_backward.infer = infer_naive_backward;
  naive_backward.cost = cost_backward;
  naive_backward.scratch = scratch_naive<attention_naive_backward_cpu_scratch>;
  naive_backward.launch = {attention_naive_backward_ref, attention_naive_backward_cpu, attention_naive_backward_cuda};

  OpDef cached;
  cached.name = "attention_cached";
  cached.inputs = {{"qkv"}, {"cache"}};
  cached.attributes = cached_attributes;
  cached.outputs = {{.name = "y"}};
  cached.infer = infer_cached;
  cached.cost = cost_cached;
  cached.scratch = scratch_cached;
  cached.launch = {attention_cached_ref, attention_cached_cpu, attention_cached_cuda};

  return {flash, flash_backward, cudnn, cudnn_backward, naive, naive_backward, cached};
}

}  // namespace isoloss
