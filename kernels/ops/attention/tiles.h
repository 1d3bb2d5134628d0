// Parts that the fast attention versions share: a register-blocked product of small matrices in cache, packing of head
// rows, and which pairs of a tile are live.
//
// A tile is kTile queries by kTile keys. Packed matrices have their rows padded with zeros to whole vectors and their
// row count to whole groups, so that the product needs no special cases at the edges.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/vec.h"
#include "kernels/cpu/vec_dropout.h"
#include "kernels/ops/attention/attention.h"

namespace isoloss::attention {

inline constexpr std::int64_t kTile = 64;
/// Rows that the product holds in registers: rows × 2 or 3 vectors of sums, beside the vectors of b.
inline constexpr std::int64_t kGroup = kVecRegisters == 32 ? 8 : 4;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr std::int64_t tiles(std::int64_t n) { return (n + kTile - 1) / kTile; }
/// Width of a packed row.
constexpr std::int64_t padded(std::int64_t D) { return round_up(D, kVecWidth); }

/// Left factor: element (i, k) is data[i · row + k · depth].
struct Left {
  const float* data;
  std::int64_t row, depth;
};

template <int vectors>
inline void multiply_columns(std::int64_t rows, std::int64_t depth, Left a, const float* b, std::int64_t ldb, float* c,
                             std::int64_t ldc, bool add) {
  using detail::unrolled;
  for (std::int64_t i = 0; i < rows; i += kGroup, c += kGroup * ldc) {
    Vec sums[kGroup][vectors];
    unrolled<kGroup>([&](auto r) __attribute__((always_inline)) {
      unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
        sums[r][v] = add ? Vec::load(c + r * ldc + v * kVecWidth) : Vec(0.0f);
      });
    });
    const float* a_column = a.data + i * a.row;
    const float* b_row = b;
    for (std::int64_t k = 0; k < depth; ++k, a_column += a.depth, b_row += ldb) {
      Vec right[vectors];
      unrolled<vectors>([&](auto v) __attribute__((always_inline)) { right[v] = Vec::load(b_row + v * kVecWidth); });
      unrolled<kGroup>([&](auto r) __attribute__((always_inline)) {
        const Vec left(a_column[r * a.row]);
        unrolled<vectors>([&](auto v) __attribute__((always_inline)) { sums[r][v] = fma(left, right[v], sums[r][v]); });
      });
    }
    unrolled<kGroup>([&](auto r) __attribute__((always_inline)) {
      unrolled<vectors>([&](auto v) __attribute__((always_inline)) { sums[r][v].store(c + r * ldc + v * kVecWidth); });
    });
  }
}

/// c [rows, columns] = or += a · b [depth, columns]. Rows: a multiple of kGroup; columns: of kVecWidth.
inline void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, Left a, const float* b,
                     std::int64_t ldb, float* c, std::int64_t ldc, bool add) {
  while (columns > 0) {
    const std::int64_t vectors = columns / kVecWidth, taken = vectors == 3 ? 3 : vectors >= 2 ? 2 : 1;
    if (taken == 3) {
      multiply_columns<3>(rows, depth, a, b, ldb, c, ldc, add);
    } else if (taken == 2) {
      multiply_columns<2>(rows, depth, a, b, ldb, c, ldc, add);
    } else {
      multiply_columns<1>(rows, depth, a, b, ldb, c, ldc, add);
    }
    columns -= taken * kVecWidth, b += taken * kVecWidth, c += taken * kVecWidth;
  }
}

/// to [padded_rows, padded(D)] = rows of a head, `stride` apart; zeros beyond n and D.
inline void pack_rows(const float* from, std::int64_t stride, std::int64_t n, std::int64_t D, std::int64_t padded_rows,
                      float* to) {
  for (std::int64_t row = 0; row < n; ++row, from += stride) {
    std::int64_t d = 0;
    for (; d + kVecWidth <= D; d += kVecWidth, to += kVecWidth) Vec::load(from + d).store(to);
    if (d < D) Vec::load(from + d, D - d).store(to), to += kVecWidth;
  }
  std::fill(to, to + (padded_rows - n) * padded(D), 0.0f);
}

/// to [D, kTile] = n <= kTile rows of a head, `stride` apart, transposed; zeros beyond n.
inline void pack_transposed(const float* from, std::int64_t stride, std::int64_t n, std::int64_t D, float* to) {
  for (std::int64_t row = 0; row < kTile; row += kVecWidth) {
    for (std::int64_t d = 0; d < D; d += kVecWidth) {
      const std::int64_t width = std::min<std::int64_t>(kVecWidth, D - d);
      Vec square[kVecWidth];
      for (std::int64_t i = 0; i < kVecWidth; ++i) {
        square[i] = row + i < n ? Vec::load(from + (row + i) * stride + d, width) : Vec(0.0f);
      }
      detail::transpose(square);
      for (std::int64_t i = 0; i < width; ++i) square[i].store(to + (d + i) * kTile + row);
    }
  }
}

/// Writes the first D of padded(D) columns of n packed rows to rows `stride` apart.
inline void unpack_rows(const float* from, std::int64_t n, std::int64_t D, float* to, std::int64_t stride) {
  for (std::int64_t row = 0; row < n; ++row, to += stride) {
    std::int64_t d = 0;
    for (; d + kVecWidth <= D; d += kVecWidth, from += kVecWidth) Vec::load(from).store(to + d);
    if (d < D) Vec::load(from).store(to + d, D - d), from += kVecWidth;
  }
}

/// Columns begin … end - 1 of a tile; none when end <= begin.
struct Columns {
  std::int64_t begin, end;
};

/// The tile whose first pair is (query, key), and its live columns row by row.
struct Tile {
  const AttentionDims& dims;
  std::int64_t query, key;

  std::int64_t rows() const { return std::min(kTile, dims.T - query); }
  std::int64_t keys() const { return std::min(kTile, dims.T - key); }
  Columns live(std::int64_t row) const {
    return {std::clamp<std::int64_t>(dims.first_key(query + row) - key, 0, kTile),
            std::min(kTile, query + row - key + 1)};
  }
  bool whole() const { return live(rows() - 1).begin == 0 && live(0).end == kTile; }
  /// What is computed of a row: the live columns of its group of rows, widened to whole vectors.
  Columns computed(std::int64_t row) const {
    const std::int64_t group = row / kGroup * kGroup, last = std::min(group + kGroup, rows()) - 1;
    const std::int64_t begin = live(group).begin / kVecWidth * kVecWidth;
    return {begin, std::max(begin, round_up(std::max<std::int64_t>(0, live(last).end), kVecWidth))};
  }
};

/// products [kTile, kTile] = left rows [·, padded(D)] · transposed [D, kTile], live groups only.
inline void multiply_scores(const Tile& tile, const float* rows, const float* transposed, float* products) {
  const std::int64_t D = tile.dims.D;
  if (tile.whole()) {  // as the loop below, in one call
    multiply(round_up(tile.rows(), kGroup), kTile, D, {rows, padded(D), 1}, transposed, kTile, products, kTile, false);
    return;
  }
  for (std::int64_t row = 0; row < tile.rows(); row += kGroup) {
    const auto [begin, end] = tile.computed(row);
    if (end <= begin) continue;
    multiply(kGroup, end - begin, D, {rows + row * padded(D), padded(D), 1}, transposed + begin, kTile,
             products + row * kTile + begin, kTile, false);
  }
}

/// sums [kTile, padded(D)] += weights [kTile, kTile] · rows of the tile's keys [·, padded(D)]. Reads the computed
/// columns, where dead weights are zero.
inline void add_weighted_keys(const Tile& tile, const float* weights, const float* key_rows, float* sums) {
  const std::int64_t width = padded(tile.dims.D);
  if (tile.whole()) {
    multiply(round_up(tile.rows(), kGroup), width, kTile, {weights, kTile, 1}, key_rows, width, sums, width, true);
    return;
  }
  for (std::int64_t row = 0; row < tile.rows(); row += kGroup) {
    const auto [begin, end] = tile.computed(row);
    if (end <= begin) continue;
    multiply(kGroup, width, end - begin, {weights + row * kTile + begin, kTile, 1}, key_rows + begin * width, width,
             sums + row * width, width, true);
  }
}

/// sums [kTile keys, padded(D)] += transposed weights · rows of the tile's queries. Reads all columns; dead weights are
/// zero.
inline void add_weighted_queries(const Tile& tile, const float* weights, const float* query_rows, float* sums) {
  const std::int64_t width = padded(tile.dims.D), depth = tile.rows();
  if (tile.whole()) {
    multiply(kTile, width, depth, {weights, 1, kTile}, query_rows, width, sums, width, true);
    return;
  }
  for (std::int64_t key = 0; key < tile.keys(); key += kGroup) {
    // Queries before the first key of the group see none of it.
    const std::int64_t first = std::max<std::int64_t>(0, tile.key + key - tile.query);
    if (first >= depth) break;
    multiply(kGroup, width, depth - first, {weights + first * kTile + key, 1, kTile}, query_rows + first * width, width,
             sums + key * width, width, true);
  }
}

/// Gives the dead ones among the computed columns of a row a value.
inline void fill_dead(const Tile& tile, std::int64_t row, float value, float* weights) {
  const Columns computed = tile.computed(row), live = tile.live(row);
  for (std::int64_t k = computed.begin; k < computed.end; k += kVecWidth) {
    float* const at = weights + row * kTile + k;
    const VecMask mask = VecMask::first(live.end - k) & ~VecMask::first(live.begin - k);
    select(mask, Vec::load(at), value).store(at);
  }
}

/// Sets every dead column of a row to zero, computed or not.
inline void clear_dead(const Tile& tile, std::int64_t row, float* weights) {
  const Columns computed = tile.computed(row);
  fill_dead(tile, row, 0.0f, weights);
  for (std::int64_t k = 0; k < computed.begin; k += kVecWidth) Vec(0.0f).store(weights + row * kTile + k);
  for (std::int64_t k = computed.end; k < kTile; k += kVecWidth) Vec(0.0f).store(weights + row * kTile + k);
}

/// Dropout factors of a row at their place in `factors` [kTile]; zero where the pair is dead.
inline void row_factors(const AttentionDropout& dropout, const Tile& tile, std::int64_t b, std::int64_t h,
                        std::int64_t row, float* factors) {
  std::fill(factors, factors + kTile, 0.0f);
  const auto [begin, end] = tile.live(row);
  if (end <= begin) return;
  dropout_factors(*dropout.mask, dropout.element(b, h, tile.query + row, tile.key + begin), end - begin,
                  factors + begin);
}

/// Computed weights of all rows of the tile times their dropout factors.
inline void drop(const AttentionDropout& dropout, const Tile& tile, std::int64_t b, std::int64_t h, float* weights) {
  alignas(64) float factors[kTile];
  for (std::int64_t row = 0; row < tile.rows(); ++row, weights += kTile) {
    row_factors(dropout, tile, b, h, row, factors);
    const auto [begin, end] = tile.computed(row);
    for (std::int64_t k = begin; k < end; k += kVecWidth) {
      (Vec::load(weights + k) * Vec::load(factors + k)).store(weights + k);
    }
  }
}

inline void multiply_row(float factor, float* row, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += kVecWidth) (Vec::load(row + i) * factor).store(row + i);
}

}  // namespace isoloss::attention
