// Normalisation of rows, shared by LayerNorm (centred) and RMSNorm (not): a block a row, the row in registers from its
// one read to its one write.
#pragma once

#include <string>

#include "kernels/core/dispatch.cuh"
#include "kernels/core/launch.cuh"
#include "kernels/core/pack.cuh"
#include "kernels/core/partials.cuh"
#include "kernels/core/reduce.cuh"
#include "kernels/layernorm/norm_cuda.h"

namespace isoloss {

inline constexpr int kNormPacks = 4;  ///< packs of a row that one thread holds

/// The largest block for packs of n elements: what a thread of the backward pass holds must fit its registers.
template <int n>
inline constexpr int kNormThreads = n == 1 ? 1024 : 256;

/// Threads that hold a row of `packs` packs of n elements; 0 where even the largest block cannot.
template <int n>
unsigned norm_threads(std::int64_t packs) {
  const std::int64_t threads = blocks_for(blocks_for(packs, kNormPacks), kWarp) * kWarp;
  return threads <= kNormThreads<n> ? static_cast<unsigned>(threads) : 0;
}

/// body(std::integral_constant<int, n>, threads): elements a pack and threads a row, for rows of `width` elements of T.
template <class T, class Body>
void with_norm_shape(std::int64_t width, Body&& body) {
  const auto run = [&](auto n) {
    const unsigned threads = norm_threads<n()>(width / n());
    expect(threads > 0, "norm", "rows that fit one block on cuda", std::to_string(width) + " columns");
    body(n, threads);
  };
  if (width % kPack<T> == 0) {
    run(std::integral_constant<int, kPack<T>>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

template <class T>
struct NormForward {
  const T *x, *branch, *w, *b;  ///< branch and b may be null
  T *sum, *y;                   ///< sum, where there is a branch, may be x
  float *mean, *rstd;           ///< each may be null
  std::int64_t width;
  float epsilon;
};

template <class T, int n, bool centred>
__global__ void __launch_bounds__(kNormThreads<n>) norm_forward(const __grid_constant__ NormForward<T> p) {
  const std::int64_t row = blockIdx.x;
  const T* const x = p.x + row * p.width;
  float values[kNormPacks][n];
  float total = 0;
  UNROLL for (int k = 0; k < kNormPacks; ++k) {
    const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * n;
    UNROLL for (int i = 0; i < n; ++i) values[k][i] = 0;
    if (c >= p.width) continue;
    auto pack = Pack<T, n>::load(x + c);
    if (p.branch != nullptr) {
      const auto other = Pack<T, n>::load(p.branch + row * p.width + c);
      // The statistics are those of the sum as it is stored, which is what backward reads.
      UNROLL for (int i = 0; i < n; ++i) pack.set(i, pack.get(i) + other.get(i));
      pack.store(p.sum + row * p.width + c);
    }
    UNROLL for (int i = 0; i < n; ++i) {
      values[k][i] = pack.get(i);
      total += values[k][i];
    }
  }
  const auto width = static_cast<float>(p.width);
  const float mean = centred ? block_sum(total) / width : 0.0f;
  float squares = 0;
  UNROLL for (int k = 0; k < kNormPacks; ++k) {
    const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * n;
    if (c >= p.width) continue;
    UNROLL for (int i = 0; i < n; ++i) {
      values[k][i] -= mean;
      squares += values[k][i] * values[k][i];
    }
  }
  const float rstd = 1.0f / sqrtf(block_sum(squares) / width + p.epsilon);
  if (threadIdx.x == 0) {
    if (centred && p.mean != nullptr) p.mean[row] = mean;
    if (p.rstd != nullptr) p.rstd[row] = rstd;
  }
  UNROLL for (int k = 0; k < kNormPacks; ++k) {
    const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * n;
    if (c >= p.width) continue;
    const auto weight = Pack<T, n>::load(p.w + c);
    Pack<T, n> out, bias{};
    if (p.b != nullptr) bias = Pack<T, n>::load(p.b + c);
    UNROLL for (int i = 0; i < n; ++i) {
      const float scaled = values[k][i] * rstd * weight.get(i);
      out.set(i, p.b != nullptr ? scaled + bias.get(i) : scaled);
    }
    out.store(p.y + row * p.width + c);
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

/// A block takes every gridDim.x-th row; what its rows add to dw and db stays in registers to the end.
template <class T, int n, bool centred>
__global__ void __launch_bounds__(kNormThreads<n>) norm_backward(const __grid_constant__ NormBackward<T> p) {
  float to_w[kNormPacks][n] = {}, to_b[kNormPacks][n] = {};
  for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const float mean = centred ? p.mean[row] : 0.0f, rstd = p.rstd[row];
    float normal[kNormPacks][n], flow[kNormPacks][n];
    float along_one = 0, along_normal = 0;
    UNROLL for (int k = 0; k < kNormPacks; ++k) {
      const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * n;
      if (c >= p.width) continue;
      const auto x = Pack<T, n>::load(p.x + row * p.width + c), dy = Pack<T, n>::load(p.dy + row * p.width + c);
      const auto weight = Pack<T, n>::load(p.w + c);
      UNROLL for (int i = 0; i < n; ++i) {
        normal[k][i] = (x.get(i) - mean) * rstd;
        to_w[k][i] += dy.get(i) * normal[k][i];
        to_b[k][i] += dy.get(i);
        flow[k][i] = dy.get(i) * weight.get(i);
        along_one += flow[k][i];
        along_normal += flow[k][i] * normal[k][i];
      }
    }
    if (p.dx == nullptr) continue;
    along_one = centred ? block_sum(along_one) / static_cast<float>(p.width) : 0.0f;
    along_normal = block_sum(along_normal) / static_cast<float>(p.width);
    UNROLL for (int k = 0; k < kNormPacks; ++k) {
      const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * n;
      if (c >= p.width) continue;
      T* const to = p.dx + row * p.width + c;
      Pack<T, n> out = p.accumulate ? Pack<T, n>::load(to) : Pack<T, n>{};
      UNROLL for (int i = 0; i < n; ++i) {
        const float value = (flow[k][i] - along_one - normal[k][i] * along_normal) * rstd;
        out.set(i, p.accumulate ? out.get(i) + value : value);
      }
      out.store(to);
    }
  }
  UNROLL for (int k = 0; k < kNormPacks; ++k) {
    const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * n;
    if (c >= p.width) continue;
    UNROLL for (int i = 0; i < n; ++i) {
      if (p.dw != nullptr) p.dw[blockIdx.x * p.width + c + i] = to_w[k][i];
      if (p.db != nullptr) p.db[blockIdx.x * p.width + c + i] = to_b[k][i];
    }
  }
}

template <class T, bool centred>
void launch_norm_forward(DeviceContext& context, const NormForward<T>& p, std::int64_t rows) {
  with_norm_shape<T>(p.width, [&](auto n, unsigned threads) {
    launch(context, norm_forward<T, n(), centred>, static_cast<unsigned>(rows), threads, 0, p);
  });
}

/// Backward with its partial sums in the scratch. `dw` and `db` may be absent.
template <class T, bool centred>
void launch_norm_backward(DeviceContext& context, NormBackward<T> p, const Tensor& dw, Mode dw_mode, const Tensor& db,
                          Mode db_mode) {
  const std::int64_t blocks = norm_blocks(p.rows);
  auto* const partial = static_cast<float*>(context.scratch.data);
  if (dw) p.dw = partial;
  if (db) p.db = partial + blocks * p.width;
  with_norm_shape<T>(p.width, [&](auto n, unsigned threads) {
    launch(context, norm_backward<T, n(), centred>, static_cast<unsigned>(blocks), threads, 0, p);
  });
  if (dw) sum_partials(context, dw.as<float>(), p.dw, blocks, p.width, dw_mode == Mode::accumulate);
  if (db) sum_partials(context, db.as<float>(), p.db, blocks, p.width, db_mode == Mode::accumulate);
}

}  // namespace isoloss
