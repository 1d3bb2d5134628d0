// Normalisation of rows, shared by LayerNorm (centred) and RMSNorm (not): a warp a row, or several for long rows; the
// row stays in registers, in its own type, from its one read to its one write. Figures: kernels/cuda/README.md.
#pragma once

#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/partials.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/ops/layernorm/norm_cuda.h"

namespace isoloss {

/// body(std::integral_constant<int, n>, block): elements a pack for rows of `width` elements of T, and threads (x) and
/// rows (y, a power of two) of a block.
template <class T, class Body>
void with_norm_shape(std::int64_t width, Body&& body) {
  expect_norm_width("norm", dtype_of<T>, width);
  const auto run = [&](auto n) {
    const std::int64_t threads = blocks_for(blocks_for(width, n() * kNormPacks<n()>), kWarp) * kWarp;
    body(n, dim3(static_cast<unsigned>(threads), threads <= 32 ? 8 : threads <= 64 ? 4 : threads <= 128 ? 2 : 1));
  };
  if (width % kPack<T> == 0) {
    run(std::integral_constant<int, kPack<T>>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

/// The packs of a row that this thread holds: its columns, and whether there are any. Of a row beyond the last one
/// there are none, but its threads come to every barrier.
template <int n>
struct NormColumns {
  int width;  ///< 0 where there is no row
  DEVICE explicit NormColumns(bool live, std::int64_t row_width) : width(live ? static_cast<int>(row_width) : 0) {}
  DEVICE static int at(int k) { return static_cast<int>(k * blockDim.x + threadIdx.x) * n; }
  DEVICE bool has(int k) const { return at(k) < width; }

  template <class T>
  DEVICE void load(Pack<T, n> (&to)[kNormPacks<n>], const T* row) const {
    UNROLL for (int k = 0; k < kNormPacks<n>; ++k) to[k] = has(k) ? Pack<T, n>::load(row + at(k)) : Pack<T, n>{};
  }
};

template <class T>
struct NormForward {
  const T *x, *branch, *w, *b;  ///< branch and b may be null
  T *sum, *y;                   ///< sum, where there is a branch, may be x
  float *mean, *rstd;           ///< each may be null
  std::int64_t rows, width;
  float epsilon;
};

template <class T, int n, bool centred>
__global__ void __launch_bounds__(kNormThreads<n>) norm_forward(const __grid_constant__ NormForward<T> p) {
  constexpr int kPacks = kNormPacks<n>;
  using Lanes = Pack<T, n>;
  const std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y, start = row * p.width;
  const NormColumns<n> columns(row < p.rows, p.width);
  Lanes x[kPacks];
  columns.load(x, p.x + start);
  if (p.branch != nullptr) {
    Lanes branch[kPacks];
    columns.load(branch, p.branch + start);
    UNROLL for (int k = 0; k < kPacks; ++k) {
      if (!columns.has(k)) continue;
      // The statistics are those of the sum as it is stored, which is what backward reads.
      float sum[n];
      UNROLL for (int i = 0; i < n; ++i) sum[i] = x[k].get(i) + branch[k].get(i);
      x[k] = Lanes::of(sum);
      x[k].store(p.sum + start + columns.at(k));
    }
  }
  const float per_width = 1.0f / static_cast<float>(p.width);
  float mean = 0;
  if constexpr (centred) {
    float total = 0;
    UNROLL for (int k = 0; k < kPacks; ++k) { UNROLL for (int i = 0; i < n; ++i) total += x[k].get(i); }
    mean = row_sum(total) * per_width;
  }
  float squares = 0;
  UNROLL for (int k = 0; k < kPacks; ++k) {
    if (!columns.has(k)) continue;
    UNROLL for (int i = 0; i < n; ++i) {
      const float distance = x[k].get(i) - mean;
      squares += distance * distance;
    }
  }
  const float rstd = 1.0f / sqrtf(row_sum(squares) * per_width + p.epsilon);
  if (threadIdx.x == 0 && row < p.rows) {
    if (centred && p.mean != nullptr) p.mean[row] = mean;
    if (p.rstd != nullptr) p.rstd[row] = rstd;
  }
  UNROLL for (int k = 0; k < kPacks; ++k) {
    if (!columns.has(k)) continue;
    const auto weight = Lanes::load(p.w + columns.at(k));
    Lanes bias{};
    if (p.b != nullptr) bias = Lanes::load(p.b + columns.at(k));
    float out[n];
    UNROLL for (int i = 0; i < n; ++i) out[i] = (x[k].get(i) - mean) * rstd * weight.get(i) + bias.get(i);
    Lanes::of(out).store(p.y + start + columns.at(k));
  }
}

template <class T>
struct NormBackward {
  const T *x, *w, *dy;
  const float *mean, *rstd;
  T* dx;           ///< null: not wanted
  float *dw, *db;  ///< partial sums [gridDim.x, width]; null: not wanted
  std::int64_t rows, width;
  bool accumulate;
};

/// A block takes every gridDim.x-th group of blockDim.y rows; what they add to dw and db stays in registers, to be
/// added over the block in a fixed order at the end.
template <class T, int n, bool centred>
__global__ void __launch_bounds__(kNormThreads<n>) norm_backward(const __grid_constant__ NormBackward<T> p) {
  constexpr int kPacks = kNormPacks<n>;
  using Lanes = Pack<T, n>;
  float to_w[kPacks][n] = {}, to_b[kPacks][n] = {};
  const float per_width = 1.0f / static_cast<float>(p.width);
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.y;
  for (std::int64_t group = std::int64_t{blockIdx.x} * blockDim.y; group < p.rows; group += step) {
    const std::int64_t row = group + threadIdx.y, start = row * p.width;
    const NormColumns<n> columns(row < p.rows, p.width);
    Lanes x[kPacks], dy[kPacks];
    columns.load(x, p.x + start);
    columns.load(dy, p.dy + start);
    if (p.accumulate) {
      UNROLL for (int k = 0; k < kPacks; ++k) {
        if (columns.has(k))
          prefetch(p.dx + start + columns.at(k));  // no register is left to hold it until it is added to
      }
    }
    const float mean = centred && row < p.rows ? p.mean[row] : 0.0f, rstd = row < p.rows ? p.rstd[row] : 0.0f;
    float along_one = 0, along_normal = 0;
    UNROLL for (int k = 0; k < kPacks; ++k) {
      if (!columns.has(k)) continue;
      const auto weight = Lanes::load(p.w + columns.at(k));
      UNROLL for (int i = 0; i < n; ++i) {
        const float normal = (x[k].get(i) - mean) * rstd, flow = dy[k].get(i) * weight.get(i);
        to_w[k][i] += dy[k].get(i) * normal;
        to_b[k][i] += dy[k].get(i);
        along_one += flow;
        along_normal += flow * normal;
      }
    }
    if (p.dx == nullptr) continue;
    along_one = centred ? row_sum(along_one) * per_width : 0.0f;
    along_normal = row_sum(along_normal) * per_width;
    UNROLL for (int k = 0; k < kPacks; ++k) {
      if (!columns.has(k)) continue;
      const auto weight = Lanes::load(p.w + columns.at(k));
      Lanes before{};
      if (p.accumulate) before = Lanes::load(p.dx + start + columns.at(k));
      float out[n];
      UNROLL for (int i = 0; i < n; ++i) {
        const float normal = (x[k].get(i) - mean) * rstd, flow = dy[k].get(i) * weight.get(i);
        const float value = (flow - along_one - normal * along_normal) * rstd;
        out[i] = before.get(i) + value;
      }
      Lanes::of(out).store(p.dx + start + columns.at(k));
    }
  }
  DYNAMIC_SHARED(float, other);  // [2, kPacks · n, blockDim.y / 2, blockDim.x]
  const unsigned upper = blockDim.y / 2 * blockDim.x, own = threadIdx.y * blockDim.x + threadIdx.x;
  for (unsigned rows = blockDim.y / 2; rows > 0; rows /= 2) {
    const unsigned partner = own - rows * blockDim.x;
    __syncthreads();
    UNROLL for (int c = 0; c < kPacks * n; ++c) {
      if (threadIdx.y < rows || threadIdx.y >= 2 * rows) continue;
      other[c * upper + partner] = to_w[c / n][c % n];
      other[(kPacks * n + c) * upper + partner] = to_b[c / n][c % n];
    }
    __syncthreads();
    UNROLL for (int c = 0; c < kPacks * n; ++c) {
      if (threadIdx.y >= rows) continue;
      to_w[c / n][c % n] += other[c * upper + own];
      to_b[c / n][c % n] += other[(kPacks * n + c) * upper + own];
    }
  }
  using Sums = Pack < float, n<4 ? n : 4>;
  const NormColumns<n> columns(threadIdx.y == 0, p.width);
  const auto put_sums = [&](float* partial, const float(&sums)[kPacks][n]) {
    if (partial == nullptr) return;
    UNROLL for (int k = 0; k < kPacks; ++k) {
      if (!columns.has(k)) continue;
      UNROLL for (int i = 0; i < n; i += Sums::kSize) {
        float some[Sums::kSize];
        UNROLL for (int j = 0; j < Sums::kSize; ++j) some[j] = sums[k][i + j];
        Sums::of(some).store(partial + blockIdx.x * p.width + columns.at(k) + i);
      }
    }
  };
  put_sums(p.dw, to_w);
  put_sums(p.db, to_b);
}

template <class T, bool centred>
void launch_norm_forward(DeviceContext& context, const NormForward<T>& p) {
  with_norm_shape<T>(p.width, [&](auto n, dim3 block) {
    launch(context, norm_forward<T, n(), centred>, static_cast<unsigned>(blocks_for(p.rows, block.y)), block, 0, p);
  });
}

/// Backward with its partial sums in the scratch. `dw` and `db` may be absent.
template <class T, bool centred>
void launch_norm_backward(DeviceContext& context, NormBackward<T> p, const Tensor& dw, Mode dw_mode, const Tensor& db,
                          Mode db_mode) {
  with_norm_shape<T>(p.width, [&](auto n, dim3 block) {
    const std::int64_t blocks = norm_blocks(blocks_for(p.rows, block.y));
    auto* const partial = static_cast<float*>(context.scratch.data);
    if (dw) p.dw = partial;
    if (db) p.db = partial + blocks * p.width;
    const std::size_t shared = sizeof(float) * 2 * kNormPacks<n()> * n() * (block.y / 2) * block.x;
    launch(context, norm_backward<T, n(), centred>, static_cast<unsigned>(blocks), block, shared, p);
    sum_partials(context, {dw.as<float>(), p.dw, dw_mode == Mode::accumulate},
                 {db.as<float>(), p.db, db_mode == Mode::accumulate}, blocks, p.width);
  });
}

}  // namespace isoloss
