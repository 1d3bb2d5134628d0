// Tiles of bf16 rows in shared memory and their products on tensor cores, for the flash attention kernels of bf16.
//
// A block of four warps owns some rows (queries, or keys in the backward pass of keys and values) and walks over tiles
// of partners. Each warp owns 16 or 32 of the rows and sees every partner. So a row's scores never leave their warp,
// and, rounded to bf16, they are the left operand of the next product in the registers that they are in.
//
// Sums lie in pieces of 16 x 8 (PTX ISA, mma.m16n8k16). Lane 4·g + t of a warp holds of each piece
//   [0], [1]: row g, columns 2·t and 2·t + 1        [2], [3]: row g + 8, the same columns.
// "Keys down" below says that the rows of a piece are keys and its columns queries; else rows are queries.
#pragma once

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/ops/attention/flash_call.cuh"

namespace isoloss::flash {

inline constexpr int kMmaWarps = 4, kMmaThreads = kMmaWarps * kWarp;
inline constexpr float kLog2e = 1.4426950408889634f;

DEVICE int lane_of_warp() { return static_cast<int>(threadIdx.x) % kWarp; }
DEVICE int piece_row(int e) { return lane_of_warp() / 4 + e / 2 * 8; }
DEVICE int piece_column(int e) { return lane_of_warp() % 4 * 2 + e % 2; }

/// Rows of `width` columns in chunks of 16 bytes. The place of a chunk in its group of four or eight is XORed with the
/// number of its row, so that the same chunk of eight rows, which ldmatrix reads at once, lies in all 32 banks.
template <int width>
struct SharedTile {
  static_assert(width % 32 == 0);
  static constexpr int kChunks = width / 8, kGroup = kChunks % 8 == 0 ? 8 : 4;
  bf16* memory;
  int start;  ///< the tile begins at this element, a multiple of 64

  DEVICE int place(int row, int column) const {
    const int turn = kGroup == 8 ? row & 7 : row >> 1 & 3;  // two rows of 4 or 12 chunks begin in different banks
    return start + row * width + (column ^ turn) * 8;
  }
  DEVICE bf16* chunk(int row, int column) const { return memory + place(row, column); }
  /// Column 2·k + half in such a way that only the last step depends on k: so that no register holds it for each k.
  DEVICE bf16* chunk_of_step(int row, int half, int k) const {
    constexpr int kSteps = kGroup / 2;
    return memory + (place(row, half) ^ k % kSteps * 16) + k / kSteps * kGroup * 8;
  }

  /// Starts copying `count` rows from `first` on of a matrix whose rows lie `step` elements apart; zeros beyond row
  /// `end` and column D. Neighbouring threads copy neighbouring chunks of a row.
  template <int count>
  DEVICE void load(const bf16* from, std::int64_t step, int first, int end, int D) const {
    constexpr int kDown = kMmaThreads / kGroup;
    static_assert(count % kDown == 0);
    const int left = static_cast<int>(threadIdx.x) % kGroup;
    int row = static_cast<int>(threadIdx.x) / kGroup;
    const bf16* at = from + (first + row) * step + left * 8;
    UNROLL for (int i = 0; i < count / kDown; ++i, row += kDown, at += kDown * step) {
      UNROLL for (int column = 0; column < kChunks; column += kGroup) {
        copy_async(chunk(row, left + column), at + column * 8, first + row < end && (left + column) * 8 < D);
      }
    }
  }

  /// Rows row … row + 15 at columns 16·k … 16·k + 15, as the left operand of a product.
  DEVICE void left(std::uint32_t (&fragment)[4], int row, int k) const {
    const int lane = lane_of_warp();
    ldmatrix(fragment, chunk_of_step(row + lane % 16, lane / 16, k));
  }
  /// The same sixteen rows as the columns of two right operands: [0], [1] of the first eight, [2], [3] of the others.
  DEVICE void right(std::uint32_t (&fragment)[4], int row, int k) const {
    const int lane = lane_of_warp();
    ldmatrix(fragment, chunk_of_step(row + lane % 8 + lane / 16 * 8, lane / 8 % 2, k));
  }
  /// Rows row … row + 15 at columns 16·k … 16·k + 15, as the rows of two right operands: [0], [1] of the first eight
  /// columns, [2], [3] of the others.
  DEVICE void right_rows(std::uint32_t (&fragment)[4], int row, int k) const {
    const int lane = lane_of_warp();
    ldmatrix_transposed(fragment, chunk_of_step(row + lane % 16, lane / 16, k));
  }
};

/// The 16·m rows that a warp owns as left operands: read from the tile each time, or held in registers.
template <int m, int width, bool held>
struct OwnRows {
  SharedTile<width> tile;
  int row;
  DEVICE OwnRows(const SharedTile<width>& tile_, int row_) : tile(tile_), row(row_) {}
  DEVICE void left(std::uint32_t (&fragment)[4], int i, int k) const { tile.left(fragment, row + 16 * i, k); }
};
template <int m, int width>
struct OwnRows<m, width, true> {
  std::uint32_t fragments[m][width / 16][4];
  DEVICE OwnRows(const SharedTile<width>& tile, int row) {
    UNROLL for (int i = 0; i < m; ++i) {
      UNROLL for (int k = 0; k < width / 16; ++k) tile.left(fragments[i][k], row + 16 * i, k);
    }
  }
  DEVICE void left(std::uint32_t (&fragment)[4], int i, int k) const {
    UNROLL for (int r = 0; r < 4; ++r) fragment[r] = fragments[i][k][r];
  }
};

/// sums[16·m, 8·n] += own rows · (the 8·n rows of `partners`)ᵀ. Where own rows are not held, a loop over many columns
/// is not unrolled whole: operands would be read so far ahead that others are spilled.
template <int m, int n, int width, bool held>
DEVICE void add_dots(float (&sums)[m][n][4], const OwnRows<m, width, held>& own, const SharedTile<width>& partners) {
  constexpr int kSteps = width / 16, kUnrolled = held || width <= 64 ? kSteps : 2;
  UNROLL_BY(1) for (int begin = 0; begin < kSteps; begin += kUnrolled) {
    UNROLL for (int k = begin; k < begin + kUnrolled; ++k) {
      std::uint32_t left[m][4];
      UNROLL for (int i = 0; i < m; ++i) own.left(left[i], i, k);
      UNROLL for (int j = 0; j < n / 2; ++j) {
        std::uint32_t right[4];
        partners.right(right, 16 * j, k);
        UNROLL for (int i = 0; i < m; ++i) {
          mma_bf16(sums[i][2 * j], left[i], right[0], right[1]);
          mma_bf16(sums[i][2 * j + 1], left[i], right[2], right[3]);
        }
      }
    }
  }
}

/// sums[16·m, width] += weights[16·m, 8·n] · (the 8·n rows of `partners`). The weights are rounded to bf16.
template <int m, int n, int width>
DEVICE void add_weighted(float (&sums)[m][width / 8][4], const float (&weights)[m][n][4],
                         const SharedTile<width>& partners) {
  UNROLL for (int k = 0; k < n / 2; ++k) {
    std::uint32_t left[m][4];
    UNROLL for (int i = 0; i < m; ++i) {
      UNROLL for (int r = 0; r < 4; ++r) {
        const float(&piece)[4] = weights[i][2 * k + r / 2];
        left[i][r] = pack_bf16(piece[r % 2 * 2], piece[r % 2 * 2 + 1]);
      }
    }
    UNROLL for (int j = 0; j < width / 16; ++j) {
      std::uint32_t right[4];
      partners.right_rows(right, 16 * k, j);
      UNROLL for (int i = 0; i < m; ++i) {
        mma_bf16(sums[i][2 * j], left[i], right[0], right[1]);
        mma_bf16(sums[i][2 * j + 1], left[i], right[2], right[3]);
      }
    }
  }
}

/// Scores of pairs that do not live become -infinity; the first pair is (row, column). Rows beyond the text are left as
/// they are: they are zeros, and what comes of them is not stored or adds zeros.
template <bool keys_down, int m, int n>
DEVICE void mask_dead(float (&scores)[m][n][4], const Sizes& sizes, int row, int column) {
  const int down = row + piece_row(0) - column - piece_column(0);
  UNROLL for (int i = 0; i < m; ++i) {
    UNROLL for (int j = 0; j < n; ++j) {
      UNROLL for (int e = 0; e < 4; ++e) {
        const int distance = down + 16 * i + e / 2 * 8 - 8 * j - e % 2;
        if (!sees(sizes, keys_down ? -distance : distance)) scores[i][j][e] = -INFINITY;
      }
    }
  }
}

/// Which pairs of one piece dropout keeps, bit e for sum e, and which pair is (row, column).
template <bool keys_down>
DEVICE unsigned kept_of_piece(const Dropout& dropout, const Sizes& sizes, int b, int h, int row, int column) {
  const int lane = lane_of_warp();
  unsigned kept = 0;
  if (sizes.T % 4 == 0) {
    // The 128 pairs are 32 blocks of four neighbouring keys: each lane draws one, and then they swap.
    const int q = keys_down ? column + lane % 8 : row + lane / 4 + lane % 4 / 2 * 8;
    const int k = keys_down ? row + lane / 8 * 4 : column + lane % 2 * 4;
    const PhiloxBlock draws = dropout.draws(dropout.element(sizes, b, h, q, k) / 4);
    unsigned drawn = 0;
    UNROLL for (unsigned i = 0; i < 4; ++i) drawn |= (draws[i] >= dropout.mask.threshold ? 1u : 0u) << i;
    UNROLL for (int e = 0; e < 4; ++e) {
      const int source = keys_down ? piece_row(e) / 4 * 8 + piece_column(e) : lane / 4 * 4 + e / 2 * 2 + lane % 4 / 2;
      const int bit = (keys_down ? piece_row(e) : piece_column(e)) % 4;
      kept |= (__shfl_sync(kWholeWarp, drawn, source) >> bit & 1u) << e;
    }
    return kept;
  }
  UNROLL_BY(1) for (int e = 0; e < 4; ++e) {
    const int r = row + piece_row(e), c = column + piece_column(e);
    const int q = keys_down ? c : r, k = keys_down ? r : c;
    kept |= (dropout.keep(dropout.element(sizes, b, h, q, k)) ? 1u : 0u) << e;
  }
  return kept;
}

/// Which pairs dropout keeps, one bit for each sum of a lane; all of them where there is none. Drawn in a loop that is
/// not unrolled, before registers are needed for the products.
template <int m, int n>
struct Kept {
  static_assert(m * n * 4 <= 64);
  std::uint64_t bits = ~std::uint64_t{0};

  template <bool keys_down>
  DEVICE void draw(const Dropout& dropout, const Sizes& sizes, int b, int h, int row, int column) {
    bits = 0;
    UNROLL_BY(1) for (int piece = 0; piece < m * n; ++piece) {
      const int r = row + piece / n * 16, c = column + piece % n * 8;
      bits |= static_cast<std::uint64_t>(kept_of_piece<keys_down>(dropout, sizes, b, h, r, c)) << (4 * piece);
    }
  }
  /// Multiplies what is kept by `factor` and the others by 0.
  DEVICE void apply(float (&values)[m][n][4], float factor) const {
    UNROLL for (int i = 0; i < m; ++i) {
      UNROLL for (int j = 0; j < n; ++j) {
        UNROLL for (int e = 0; e < 4; ++e) {
          values[i][j][e] *= (bits >> (4 * (i * n + j) + e) & 1) != 0 ? factor : 0.0f;  // a dropped NaN stays one
        }
      }
    }
  }
};

/// Stores a warp's sums in bf16: rows 0 … count - 1 at `to`, `step` elements apart, D columns. They pass through rows
/// row … row + 16·m - 1 of a tile, which only this warp still uses, so that 16 bytes are stored at a time.
template <int m, int width>
DEVICE void store_rows(const SharedTile<width>& tile, int row, const float (&sums)[m][width / 8][4], bf16* to,
                       std::int64_t step, int count, int D) {
  __syncwarp();  // all lanes have read what is overwritten
  UNROLL for (int i = 0; i < m; ++i) {
    UNROLL for (int j = 0; j < width / 8; ++j) {
      UNROLL for (int e = 0; e < 4; e += 2) {
        bf16* const chunk = tile.chunk(row + 16 * i + piece_row(e), j);
        *reinterpret_cast<std::uint32_t*>(chunk + piece_column(e)) = pack_bf16(sums[i][j][e], sums[i][j][e + 1]);
      }
    }
  }
  __syncwarp();
  constexpr int kChunks = SharedTile<width>::kChunks;
  UNROLL for (int i = 0; i < 16 * m * kChunks / kWarp; ++i) {
    const int at = i * kWarp + lane_of_warp(), r = at / kChunks, column = at % kChunks;
    if (r < count && column * 8 < D) Pack<bf16>::load(tile.chunk(row + r, column)).store(to + r * step + column * 8);
  }
}

/// body(width) with the smallest compiled width that holds heads of D columns.
template <class Body>
void with_mma_width(const char* op, std::int64_t D, Body&& body) {
  expect_flash_width(op, D);
  if (D <= 32) return body(std::integral_constant<int, 32>{});
  if (D <= 64) return body(std::integral_constant<int, 64>{});
  if (D <= 96) return body(std::integral_constant<int, 96>{});
  body(std::integral_constant<int, 128>{});
}

}  // namespace isoloss::flash
