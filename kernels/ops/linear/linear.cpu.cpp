#include "kernels/ops/linear/linear.h"

#include <algorithm>
#include <cstdint>

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm.h"
#include "kernels/ops/activation/activation_vec.h"

namespace isoloss {

using namespace linear_ports;

namespace {

/// What happens to a block of x · W while it is in the first-level cache.
struct Epilogue {
  const float* bias;  // [N] or null
  float* pre;         // [M,N] or null
  std::int64_t n;

  /// Whether whole registers of `pre` are aligned wherever a block begins.
  bool streams() const { return n % kVecWidth == 0 && reinterpret_cast<std::uintptr_t>(pre) % sizeof(Vec) == 0; }
};

/// `pre` is read by the backward pass only: written into the caches, it would throw out what the next operation needs.
inline void store_pre(Vec value, float* to, bool streams, WholeVec) { streams ? value.stream(to) : value.store(to); }
inline void store_pre(Vec value, float* to, bool, PartVec part) { store(value, to, part); }

template <Activation activation>
void finish_block(const void* context, const GemmBlock& block) {
  const Epilogue epilogue = *static_cast<const Epilogue*>(context);
  const bool streams = epilogue.streams();
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t at = (block.row + row) * epilogue.n + block.column;
    float* const y = block.c + row * epilogue.n;
    for_each_vec(0, block.columns, [&](std::int64_t column, auto lanes) {
      Vec value = load(y + column, lanes);
      if (epilogue.bias != nullptr) value += load(epilogue.bias + block.column + column, lanes);
      if (epilogue.pre != nullptr) store_pre(value, epilogue.pre + at + column, streams, lanes);
      store(activate<activation>(value), y + column, lanes);
    });
  }
}

// Rows of dy that are summed in one go for dbias. The cut is fixed, so the sum does not depend on the threads; the
// partial sums are 1/32 of dy.
constexpr std::int64_t kRowsPerSum = 32;
constexpr std::int64_t kRowsAhead = 4;  // fetched
std::int64_t sums(std::int64_t rows) { return (rows + kRowsPerSum - 1) / kRowsPerSum; }

/// What one pass over dy computes.
struct Pass {
  const float *dy, *pre;  // [M,N]; pre is null without activation
  float* dpre;            // [M,N] or null
  float* partial;         // [sums(M),N] or null: dbias is not wanted
  std::int64_t m, n;
};

/// The columns from `column` on in `vectors` registers side by side.
template <Activation activation, int vectors, class Lanes>
[[gnu::always_inline]] inline void pass_over_columns(const Pass& pass, std::int64_t chunk, std::int64_t column,
                                                     Lanes lanes) {
  const std::int64_t begin = chunk * kRowsPerSum, end = std::min(pass.m, begin + kRowsPerSum);
  Vec sums[vectors];
  for (Vec& sum : sums) sum = Vec(0.0f);
  for (std::int64_t row = begin; row < end; ++row) {
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t at = row * pass.n + column + v * kVecWidth;
      Vec gradient = load(pass.dy + at, lanes);
      if constexpr (activation != Activation::none) {
        // Pieces of rows are too short for the processor to see where they lead.
        __builtin_prefetch(pass.pre + at + kRowsAhead * pass.n);
        __builtin_prefetch(pass.dy + at + kRowsAhead * pass.n);
        gradient *= activate_derivative<activation>(load(pass.pre + at, lanes));
        store(gradient, pass.dpre + at, lanes);
      }
      sums[v] += gradient;
    }
  }
  if (pass.partial == nullptr) return;
  for (int v = 0; v < vectors; ++v) store(sums[v], pass.partial + chunk * pass.n + column + v * kVecWidth, lanes);
}

template <Activation activation>
void pass_over_rows(const Pass& pass, std::int64_t chunk) {
  constexpr int kVectors = 8;  // long enough pieces of a row for the processor to see the stream and fetch ahead
  std::int64_t column = 0;
  for (; column + kVectors * kVecWidth <= pass.n; column += kVectors * kVecWidth) {
    pass_over_columns<activation, kVectors>(pass, chunk, column, WholeVec{});
  }
  for_each_vec(column, pass.n,
               [&](std::int64_t at, auto lanes) { pass_over_columns<activation, 1>(pass, chunk, at, lanes); });
}

/// dbias [N] = or += the partial sums, in their order.
void add_partials(const Pass& pass, float* dbias, Mode mode) {
  parallel_for(pass.n, 1024, [&](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [&](std::int64_t column, auto lanes) {
      Vec sum(0.0f);
      for (std::int64_t chunk = 0; chunk < sums(pass.m); ++chunk) {
        sum += load(pass.partial + chunk * pass.n + column, lanes);
      }
      store(sum, dbias + column, lanes, mode);
    });
  });
}

std::size_t partial_bytes(const LinearSizes& size) {
  return static_cast<std::size_t>(sums(size.m) * size.n) * sizeof(float);
}

}  // namespace

std::size_t linear_cpu_scratch(const OpTypes& types, int threads) {
  const LinearSizes size(types.in[kX].shape, types.in[kW].shape, types.attributes);
  return gemm_scratch({.m = size.m, .n = size.n, .k = size.k, .transpose_b = size.transposed}, threads);
}

void linear_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[kX].type.dtype != DType::f32) return linear_ref(context, call);
  const LinearSizes size(call.in[kX].shape(), call.in[kW].shape(), call.attributes);
  const Activation activation = linear_activation(call.attributes);
  const Epilogue epilogue{call.in[kBias].as<float>(), call.out[kPre].as<float>(), size.n};
  GemmProblem problem{.m = size.m,
                      .n = size.n,
                      .k = size.k,
                      .a = call.in[kX].as<float>(),
                      .lda = size.k,
                      .b = call.in[kW].as<float>(),
                      .ldb = size.transposed ? size.k : size.n,
                      .transpose_b = size.transposed,
                      .c = call.out[kY].as<float>(),
                      .ldc = size.n};
  if (epilogue.bias != nullptr || activation != Activation::none) {
    problem.finish.context = &epilogue;
    with_activation(activation, [&]<Activation kind>() { problem.finish.apply = &finish_block<kind>; });
  }
  gemm(problem, context.scratch.data);
}

std::size_t linear_backward_cpu_scratch(const OpTypes& types, int threads) {
  const LinearSizes size(types.in[kBackX].shape, types.in[kBackW].shape, types.attributes);
  const std::int64_t dw_rows = size.transposed ? size.n : size.k, dw_columns = size.transposed ? size.k : size.n;
  return std::max({gemm_scratch({.m = size.m, .n = size.k, .k = size.n, .transpose_b = !size.transposed}, threads),
                   gemm_scratch({.m = dw_rows, .n = dw_columns, .k = size.m, .transpose_a = true}, threads),
                   partial_bytes(size)});
}

void linear_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[kBackX].type.dtype != DType::f32) return linear_backward_ref(context, call);
  const LinearSizes size(call.in[kBackX].shape(), call.in[kBackW].shape(), call.attributes);
  const float* dy = call.in[kBackDy].as<float>();
  const bool dbias_wanted = call.mode[kDbias] != Mode::skip;

  const Pass pass{.dy = dy,
                  .pre = call.in[kBackPre].as<float>(),
                  .dpre = call.out[kDpre].as<float>(),
                  .partial = dbias_wanted ? static_cast<float*>(context.scratch.data) : nullptr,
                  .m = size.m,
                  .n = size.n};
  if (pass.dpre != nullptr || dbias_wanted) {
    with_activation(linear_activation(call.attributes), [&]<Activation kind>() {
      parallel_tasks(sums(size.m), [&](std::int64_t chunk) { pass_over_rows<kind>(pass, chunk); });
    });
    if (dbias_wanted) add_partials(pass, call.out[kDbias].as<float>(), call.mode[kDbias]);
  }
  if (pass.dpre != nullptr) dy = pass.dpre;

  if (call.mode[kDw] != Mode::skip) {
    const float* x = call.in[kBackX].as<float>();
    gemm({.m = size.transposed ? size.n : size.k,
          .n = size.transposed ? size.k : size.n,
          .k = size.m,
          .a = size.transposed ? dy : x,
          .lda = size.transposed ? size.n : size.k,
          .transpose_a = true,
          .b = size.transposed ? x : dy,
          .ldb = size.transposed ? size.k : size.n,
          .c = call.out[kDw].as<float>(),
          .ldc = size.transposed ? size.k : size.n,
          .accumulate = call.mode[kDw] == Mode::accumulate},
         context.scratch.data);
  }
  // Last, since the next operation reads dx.
  if (call.mode[kDx] != Mode::skip) {
    gemm({.m = size.m,
          .n = size.k,
          .k = size.n,
          .a = dy,
          .lda = size.n,
          .b = call.in[kBackW].as<float>(),
          .ldb = size.transposed ? size.k : size.n,
          .transpose_b = !size.transposed,
          .c = call.out[kDx].as<float>(),
          .ldc = size.k,
          .accumulate = call.mode[kDx] == Mode::accumulate},
         context.scratch.data);
  }
}

}  // namespace isoloss
