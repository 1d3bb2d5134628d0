// The inner parts of gemm(): the product of two strips held in registers, and packing where a strip is stored
// crosswise.
//
// A strip of A is `kTileRows` rows, a strip of B `kTileColumns` columns. Of B the inner loop wants the columns side by
// side for every k, of A any distance between the rows does. Operands stored so are read where they are; the others are
// packed (transposed) first.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/cpu/vec.h"

namespace isoloss::detail {

// As many accumulators as the registers hold beside two vectors of B and one element of A.
inline constexpr int kTileVectors = 2;
inline constexpr int kTileColumns = kTileVectors * kVecWidth;
inline constexpr int kTileRows = kVecRegisters == 32 ? 14 : 6;
// Rows of B fetched ahead.
inline constexpr int kPrefetchRows = 8;

/// f(0), f(1), …, f(count - 1), each with its number as a compile-time constant.
template <int count, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, count>{});
}

/// Transposes a square of kVecWidth vectors in registers: swaps off-diagonal blocks of ever smaller size.
template <int size = kVecWidth / 2>
[[gnu::always_inline]] inline void transpose(Vec (&rows)[kVecWidth]) {
  unrolled<kVecWidth>([&](auto i) __attribute__((always_inline)) {
    if constexpr ((i & size) == 0) {
      const auto a = rows[i].native, b = rows[i | size].native;
      [&]<int... lane>(std::integer_sequence<int, lane...>) __attribute__((always_inline)) {
        rows[i] = Vec(__builtin_shufflevector(a, b, ((lane & size) == 0 ? lane : kVecWidth + (lane ^ size))...));
        rows[i | size] = Vec(__builtin_shufflevector(a, b, ((lane & size) == 0 ? lane | size : kVecWidth + lane)...));
      }
      (std::make_integer_sequence<int, kVecWidth>{});
    }
  });
  if constexpr (size > 1) transpose<size / 2>(rows);
}

/// Packs `lines` lines of `depth` elements, `step` apart, into strips of `width` lines: element k of line j of a strip
/// goes to k · width + j of that strip, and strips follow each other. Missing lines of the last strip become zeros.
template <int width>
inline void pack_lines(const float* from, std::int64_t step, std::int64_t lines, std::int64_t depth, float* to) {
  constexpr int vectors = (width + kVecWidth - 1) / kVecWidth;
  for (std::int64_t line = 0; line < lines; line += width, from += width * step, to += width * depth) {
    const std::int64_t present = lines - line < width ? lines - line : width;
    std::int64_t k = 0;
    for (; k + kVecWidth <= depth; k += kVecWidth) {
      unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
        constexpr int first = v * kVecWidth, count = width - first < kVecWidth ? width - first : kVecWidth;
        Vec square[kVecWidth];
        unrolled<kVecWidth>([&](auto j) __attribute__((always_inline)) {
          square[j] = j < count && first + j < present ? Vec::load(from + (first + j) * step + k) : Vec(0.0f);
        });
        transpose(square);
        unrolled<kVecWidth>([&](auto j) __attribute__((always_inline)) {
          float* const column = to + (k + j) * width + first;
          if constexpr (count == kVecWidth) {
            square[j].store(column);
          } else {
            square[j].store(column, count);
          }
        });
      });
    }
    for (; k < depth; ++k) {
      for (int j = 0; j < width; ++j) to[k * width + j] = j < present ? from[j * step + k] : 0.0f;
    }
  }
}

/// Strip of an operand, packed or where it is: element k of line j stands at data[k · step + j · line], and that of the
/// next strip `next` further. Only of A may `line` be other than 1.
struct Strip {
  const float* data;
  std::int64_t step, next, line = 1;
};

/// C block (rows × columns) = or += strip of A times strip of B over `depth`. Touches only `columns` columns of B and
/// C; with `whole` they are vectors · kVecWidth. With `adjacent`, a.line is 1, which saves half a percent.
template <int rows, int vectors, bool whole, bool adjacent>
void multiply_strips(std::int64_t depth, Strip a, Strip b, float* c, std::int64_t ldc, std::int64_t columns, bool add) {
  const auto load = [&](const float* from, auto v) __attribute__((always_inline)) {
    constexpr int first = v * kVecWidth;
    if constexpr (whole || v + 1 < vectors) {
      return Vec::load(from + first);
    } else {
      return Vec::load(from + first, columns - first);
    }
  };
  Vec sums[rows][vectors];
  unrolled<rows>([&](auto i) __attribute__((always_inline)) {
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) { sums[i][v] = Vec(0.0f); });
  });
  const float* c_ahead = c;  // a row of C at a time, lest the loads of A and B queue behind all of them
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec b_row[vectors];
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
      b_row[v] = load(b.data, v);
      // From the second-level cache to the first, and the next strip from beyond to the second.
      __builtin_prefetch(b.data + v * kVecWidth + kPrefetchRows * b.step);
      __builtin_prefetch(b.data + v * kVecWidth + b.next, 0, 2);
    });
    if constexpr (adjacent) {
      // Where A is read in place, the next strip begins in the cache line in which this one ends.
      __builtin_prefetch(a.data + a.next + rows - 1, 0, 2);
    } else {
      __builtin_prefetch(a.data + a.next + k % 16 * a.line, 0, 2);  // a line of each row in turn
    }
    unrolled<rows>([&](auto i) __attribute__((always_inline)) {
      const Vec a_element(a.data[adjacent ? i : i * a.line]);
      unrolled<vectors>([&](auto v)
                            __attribute__((always_inline)) { sums[i][v] = fma(a_element, b_row[v], sums[i][v]); });
    });
    for (int v = 0; v < vectors; ++v) __builtin_prefetch(c_ahead + v * kVecWidth, 1);
    c_ahead += k + 1 < rows ? ldc : 0;
    a.data += a.step;
    b.data += b.step;
  }
  unrolled<rows>([&](auto i) __attribute__((always_inline)) {
    float* const row = c + i * ldc;
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
      const Vec value = add ? load(row, v) + sums[i][v] : sums[i][v];
      constexpr int first = v * kVecWidth;
      if constexpr (whole || v + 1 < vectors) {
        value.store(row + first);
      } else {
        value.store(row + first, columns - first);
      }
    });
  });
}

using MultiplyStrips = void (*)(std::int64_t depth, Strip a, Strip b, float* c, std::int64_t ldc, std::int64_t columns,
                                bool add);

/// The kernel for a block of `rows` (1 … kTileRows) and `columns` (1 … kTileColumns), for lines of A so far apart.
MultiplyStrips multiply_strips_for(std::int64_t rows, std::int64_t columns, std::int64_t line);

}  // namespace isoloss::detail
