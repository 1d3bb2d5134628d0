// The row loops of both normalisations: `centred` subtracts the mean (LayerNorm), else not (RMSNorm).
//
// A row is read from memory once and written once; what passes over it again finds it in the first-level cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"

namespace isoloss {

/// Row chunks whose partial dw and db are kept apart. Fixed, so that no sum depends on the number of threads; enough to
/// balance a few dozen threads.
inline constexpr std::int64_t kNormChunks = 64;

struct NormForward {
  std::int64_t rows, width;
  float epsilon;
  const float *x, *branch, *w, *b;  ///< branch and b may be null
  float *sum, *y, *mean, *rstd;     ///< sum goes with branch; mean and rstd may be null
};

struct NormBackward {
  std::int64_t rows, width;
  const float *x, *w, *mean, *rstd, *dy;  ///< mean only when centred
  float *dx, *dw, *db;                    ///< each may be null
  Mode dx_mode, dw_mode, db_mode;
  float* partial;  ///< [kNormChunks, 2, width] when dw or db is wanted
};

namespace detail {

/// Sum of term(i, lanes) over a row, in four registers, so that additions do not wait for each other.
template <class Term>
[[gnu::always_inline]] inline float sum_row(std::int64_t width, Term term) {
  Vec first = 0.0f, second = 0.0f, third = 0.0f, fourth = 0.0f;
  std::int64_t i = 0;
  for (; i + 4 * kVecWidth <= width; i += 4 * kVecWidth) {
    first += term(i, WholeVec{});
    second += term(i + kVecWidth, WholeVec{});
    third += term(i + 2 * kVecWidth, WholeVec{});
    fourth += term(i + 3 * kVecWidth, WholeVec{});
  }
  for (; i + kVecWidth <= width; i += kVecWidth) first += term(i, WholeVec{});
  if (i < width) second += zero_beyond(term(i, PartVec{width - i}), PartVec{width - i});
  return sum((first + second) + (third + fourth));
}

// The row functions hand single pointers, not the whole struct, to their loops: those then live in registers, where a
// struct would be copied to memory for every row and its pointers loaded again after every store.

template <bool centred, bool residual, bool bias>
[[gnu::always_inline]] inline void norm_forward_row(const NormForward& n, std::int64_t row) {
  const std::int64_t width = n.width, start = row * width;
  const float *input = n.x + start, *branch = residual ? n.branch + start : nullptr, *w = n.w, *b = n.b;
  float *total = residual ? n.sum + start : nullptr, *y = n.y + start;
  const float* x = residual ? total : input;
  // The first pass adds the residual branch on its way.
  const auto value = [=](std::int64_t i, auto lanes) {
    if constexpr (!residual) return load(input + i, lanes);
    const Vec added = load(input + i, lanes) + load(branch + i, lanes);
    store(added, total + i, lanes);
    return added;
  };
  const float per_width = 1.0f / static_cast<float>(width);
  float mean = 0, squares = 0;
  if constexpr (centred) {
    mean = sum_row(width, value) * per_width;
    squares = sum_row(width, [=](std::int64_t i, auto lanes) {
      const Vec distance = load(x + i, lanes) - mean;
      return distance * distance;
    });
  } else {
    squares = sum_row(width, [=](std::int64_t i, auto lanes) {
      const Vec v = value(i, lanes);
      return v * v;
    });
  }
  const float rstd = 1.0f / std::sqrt(squares * per_width + n.epsilon);
  for_each_vec(0, width, [=](std::int64_t i, auto lanes) {
    const Vec scaled = (load(x + i, lanes) - mean) * rstd, weight = load(w + i, lanes);
    store(bias ? fma(scaled, weight, load(b + i, lanes)) : scaled * weight, y + i, lanes);
  });
  if (n.mean != nullptr) n.mean[row] = mean;
  if (n.rstd != nullptr) n.rstd[row] = rstd;
}

/// dx of one row; adds the row to the partial dw and db where they are wanted.
template <bool centred, bool to_w, bool to_b>
[[gnu::always_inline]] inline void norm_backward_row(const NormBackward& n, std::int64_t row, float* dw, float* db) {
  const std::int64_t width = n.width;
  const float *x = n.x + row * width, *dy = n.dy + row * width, *w = n.w;
  const float mean = centred ? n.mean[row] : 0.0f, rstd = n.rstd[row];
  Vec along_one = 0.0f, along_normal = 0.0f;
  for_each_vec(0, width, [&](std::int64_t i, auto lanes) {
    const Vec gradient = load(dy + i, lanes), normal = (load(x + i, lanes) - mean) * rstd;
    const Vec flow = gradient * load(w + i, lanes);  // zero beyond the row
    if constexpr (centred) along_one += flow;
    // Not `+= flow * normal`: whether that rounds once or twice, the compiler decides by what else the loop does, and
    // dx would have other bits where dw is not wanted.
    along_normal = fma(flow, normal, along_normal);
    if constexpr (to_w) store(fma(gradient, normal, load(dw + i, lanes)), dw + i, lanes);
    if constexpr (to_b) store(gradient + load(db + i, lanes), db + i, lanes);
  });
  if (n.dx == nullptr) return;
  const float per_width = 1.0f / static_cast<float>(width);
  const float shift = sum(along_one) * per_width, slope = sum(along_normal) * per_width;
  float* dx = n.dx + row * width;
  const Mode mode = n.dx_mode;
  for_each_vec(0, width, [=](std::int64_t i, auto lanes) {
    const Vec normal = (load(x + i, lanes) - mean) * rstd;
    const Vec flow = load(dy + i, lanes) * load(w + i, lanes);
    store((flow - shift - normal * slope) * rstd, dx + i, lanes, mode);
  });
}

/// f(std::bool_constant) twice over: turns two run-time conditions into compile-time ones.
template <class F>
void with_flags(bool first, bool second, F&& f) {
  const auto inner = [&](auto constant) { second ? f(constant, std::true_type{}) : f(constant, std::false_type{}); };
  first ? inner(std::true_type{}) : inner(std::false_type{});
}

}  // namespace detail

template <bool centred>
void norm_forward(const NormForward& n) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / n.width);
  detail::with_flags(n.branch != nullptr, n.b != nullptr, [&](auto residual, auto bias) {
    parallel_for(n.rows, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) detail::norm_forward_row<centred, residual, bias>(n, row);
    });
  });
}

template <bool centred>
void norm_backward(const NormBackward& n) {
  const std::int64_t rows_per_chunk = (n.rows + kNormChunks - 1) / kNormChunks;
  const std::int64_t chunks = (n.rows + rows_per_chunk - 1) / rows_per_chunk;
  const auto chunk_sums = [&](std::int64_t chunk, int which) { return n.partial + (chunk * 2 + which) * n.width; };
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / (rows_per_chunk * n.width));
  parallel_for(chunks, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      float* dw = n.dw != nullptr ? chunk_sums(chunk, 0) : nullptr;
      float* db = n.db != nullptr ? chunk_sums(chunk, 1) : nullptr;
      if (dw != nullptr) std::fill(dw, dw + n.width, 0.0f);
      if (db != nullptr) std::fill(db, db + n.width, 0.0f);
      const std::int64_t end = std::min(n.rows, (chunk + 1) * rows_per_chunk);
      detail::with_flags(dw != nullptr, db != nullptr, [&](auto to_w, auto to_b) {
        for (std::int64_t row = chunk * rows_per_chunk; row < end; ++row) {
          detail::norm_backward_row<centred, to_w, to_b>(n, row, dw, db);
        }
      });
    }
  });
  const auto combine = [&](float* to, int which, Mode mode) {
    if (to == nullptr) return;
    for_each_vec(0, n.width, [&](std::int64_t i, auto lanes) {
      Vec total = load(chunk_sums(0, which) + i, lanes);
      for (std::int64_t chunk = 1; chunk < chunks; ++chunk) total += load(chunk_sums(chunk, which) + i, lanes);
      store(total, to + i, lanes, mode);
    });
  };
  combine(n.dw, 0, n.dw_mode);
  combine(n.db, 1, n.db_mode);
}

}  // namespace isoloss
