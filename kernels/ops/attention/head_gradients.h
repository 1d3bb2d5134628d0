// Where the fast backward versions put dQ, dK and dV.
//
// A task that alone computes a gradient writes it to its place in dqkv. Otherwise each task writes its part to scratch,
// and `combine` adds the parts in a fixed order: dQ over the pieces that a head was cut into, dK and dV over the query
// heads that share a key head.
#pragma once

#include <cstdint>

#include "kernels/base/parallel.h"
#include "kernels/ops/attention/tiles.h"

namespace isoloss::attention {

class HeadGradients {
 public:
  /// `scratch`: floats(dims, pieces) floats.
  HeadGradients(const AttentionDims& dims, std::int64_t pieces, float* dqkv, float* scratch)
      : dims_(dims), pieces_(pieces), dqkv_(dqkv), queries_(scratch), keys_(scratch + query_floats(dims, pieces)) {}

  static std::int64_t floats(const AttentionDims& dims, std::int64_t pieces) {
    return query_floats(dims, pieces) + (dims.group() > 1 ? 2 * head_floats(dims) : 0);
  }

  /// A destination: its first element and the distance between rows.
  struct Rows {
    float* data;
    std::int64_t stride;
  };

  Rows query_rows(std::int64_t b, std::int64_t h, std::int64_t piece) const {
    if (pieces_ == 1) return {token(b) + dims_.query_at(h), dims_.token()};
    return {queries_ + piece * head_floats(dims_) + head(b, h), dims_.D};
  }
  Rows key_rows(std::int64_t b, std::int64_t h) const {
    if (dims_.group() == 1) return {token(b) + dims_.key_at(h), dims_.token()};
    return {keys_ + head(b, h), dims_.D};
  }
  Rows value_rows(std::int64_t b, std::int64_t h) const {
    if (dims_.group() == 1) return {token(b) + dims_.value_at(h), dims_.token()};
    return {keys_ + head_floats(dims_) + head(b, h), dims_.D};
  }

  void combine() const {
    if (pieces_ == 1 && dims_.group() == 1) return;
    parallel_for(dims_.B * dims_.T, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) combine_token(row / dims_.T, row % dims_.T);
    });
  }

 private:
  static std::int64_t head_floats(const AttentionDims& dims) { return dims.B * dims.H * dims.T * dims.D; }
  static std::int64_t query_floats(const AttentionDims& dims, std::int64_t pieces) {
    return pieces > 1 ? pieces * head_floats(dims) : 0;
  }
  float* token(std::int64_t b) const { return dqkv_ + b * dims_.T * dims_.token(); }
  std::int64_t head(std::int64_t b, std::int64_t h) const { return (b * dims_.H + h) * dims_.T * dims_.D; }

  void combine_token(std::int64_t b, std::int64_t t) const {
    float* const to = token(b) + t * dims_.token();
    const std::int64_t row = t * dims_.D, head_step = dims_.T * dims_.D;
    if (pieces_ > 1) {
      for (std::int64_t h = 0; h < dims_.H; ++h) {
        add_parts(queries_ + head(b, h) + row, head_floats(dims_), pieces_, to + dims_.query_at(h));
      }
    }
    if (dims_.group() > 1) {
      for (std::int64_t kv = 0; kv < dims_.K; ++kv) {
        const float* const part = keys_ + head(b, kv * dims_.group()) + row;
        add_parts(part, head_step, dims_.group(), to + dims_.key_at(kv));
        add_parts(part + head_floats(dims_), head_step, dims_.group(), to + dims_.value_at(kv));
      }
    }
  }

  void add_parts(const float* part, std::int64_t step, std::int64_t parts, float* to) const {
    for (std::int64_t d = 0; d < dims_.D; d += kVecWidth) {
      const std::int64_t n = std::min<std::int64_t>(kVecWidth, dims_.D - d);
      Vec sum = Vec::load(part + d, n);
      for (std::int64_t i = 1; i < parts; ++i) sum += Vec::load(part + i * step + d, n);
      sum.store(to + d, n);
    }
  }

  const AttentionDims& dims_;
  const std::int64_t pieces_;
  float *const dqkv_, *const queries_, *const keys_;
};

}  // namespace isoloss::attention
