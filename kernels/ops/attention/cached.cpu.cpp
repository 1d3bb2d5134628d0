// Attention of one new token a sequence to its cache: matrix-vector products, one task a query head.
#include <algorithm>
#include <limits>

#include "kernels/base/parallel.h"
#include "kernels/cpu/vec.h"
#include "kernels/ops/attention/attention.h"

namespace isoloss {

namespace {

float dot(const float* a, const float* b, std::int64_t n) {
  Vec lanes = 0.0f;
  for (std::int64_t i = 0; i < n; i += kVecWidth) {
    const std::int64_t width = std::min<std::int64_t>(kVecWidth, n - i);
    lanes = fma(Vec::load(a + i, width), Vec::load(b + i, width), lanes);
  }
  return sum(lanes);
}

/// Softmax of n scores in place. A NaN need not show in the maximum: its exponential is NaN.
void softmax(float* scores, std::int64_t n) {
  Vec most = -std::numeric_limits<float>::infinity();
  for (std::int64_t k = 0; k < n; k += kVecWidth) {
    const VecMask live = VecMask::first(n - k);
    most = max_number(most, select(live, Vec::load(scores + k, std::min<std::int64_t>(kVecWidth, n - k)), most));
  }
  const Vec largest = max_number_lane(most);
  Vec total = 0.0f;
  for (std::int64_t k = 0; k < n; k += kVecWidth) {
    const std::int64_t width = std::min<std::int64_t>(kVecWidth, n - k);
    const Vec exponential = exp(Vec::load(scores + k, width) - largest);
    exponential.store(scores + k, width);
    total += select(VecMask::first(width), exponential, 0.0f);
  }
  const Vec normalise = 1 / sum(total);
  for (std::int64_t k = 0; k < n; k += kVecWidth) {
    const std::int64_t width = std::min<std::int64_t>(kVecWidth, n - k);
    (Vec::load(scores + k, width) * normalise).store(scores + k, width);
  }
}

/// out [D] = sum over k < n of weights[k] · rows[k], rows `step` apart.
void weighted_rows(const float* weights, const float* rows, std::int64_t step, std::int64_t n, std::int64_t D,
                   float* out) {
  for (std::int64_t d = 0; d < D; d += kVecWidth) {
    const std::int64_t width = std::min<std::int64_t>(kVecWidth, D - d);
    Vec total = 0.0f;
    for (std::int64_t k = 0; k < n; ++k) total = fma(weights[k], Vec::load(rows + k * step + d, width), total);
    total.store(out + d, width);
  }
}

}  // namespace

void attention_cached_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return attention_cached_ref(context, call);
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const std::int64_t positions = call.in[1].shape()[1], position = context.state->position, row = 2 * dims.K * dims.D;
  expect_cache_room(position, positions);
  const float* const qkv = call.in[0].as<float>();
  float *const cache = call.in[1].as<float>(), *const y = call.out[0].as<float>();
  for (std::int64_t b = 0; b < dims.B; ++b) {
    const float* const token = qkv + b * dims.token();
    std::copy(token + dims.key_at(0), token + dims.token(), cache + (b * positions + position) * row);
  }
  const std::int64_t first = dims.first_key(position), live = position + 1 - first;
  parallel_tasks(dims.B * dims.H, [&](std::int64_t task, int thread) {
    const std::int64_t b = task / dims.H, h = task % dims.H;
    float* const scores = static_cast<float*>(context.scratch.data) + thread * positions;
    const float* const query = qkv + b * dims.token() + dims.query_at(h);
    const float* const keys = cache + (b * positions + first) * row + h / dims.group() * dims.D;
    for (std::int64_t k = 0; k < live; ++k) {
      scores[k] = static_cast<float>(dims.scale()) * dot(query, keys + k * row, dims.D);
    }
    softmax(scores, live);
    weighted_rows(scores, keys + dims.K * dims.D, row, live, dims.D, y + task * dims.D);
  });
}

std::size_t attention_cached_cpu_scratch(std::int64_t positions, int threads) {
  return static_cast<std::size_t>(positions * threads) * sizeof(float);
}

}  // namespace isoloss
