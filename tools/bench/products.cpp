#include "tools/bench/products.h"

#include <algorithm>

#include "engine/buffer.h"
#include "kernels/core/gemm.h"
#include "kernels/core/parallel.h"
#include "tools/bench/measure.h"
#include "tools/bench/peers.h"
#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

/// y [M,N] = x [M,K] · w, where w is [K,N], or [N,K] when transposed.
struct Projection {
  const char* layer;
  std::int64_t m, n, k;
  bool transposed;
};

struct Pass {
  const char* name;
  GemmProblem problem;
};

std::vector<Pass> passes_of(const Projection& p, float* x, float* w, float* y) {
  const std::int64_t ldw = p.transposed ? p.k : p.n;
  GemmProblem forward{.m = p.m,
                      .n = p.n,
                      .k = p.k,
                      .a = x,
                      .lda = p.k,
                      .b = w,
                      .ldb = ldw,
                      .transpose_b = p.transposed,
                      .c = y,
                      .ldc = p.n};
  GemmProblem dx{.m = p.m,
                 .n = p.k,
                 .k = p.n,
                 .a = y,
                 .lda = p.n,
                 .b = w,
                 .ldb = ldw,
                 .transpose_b = !p.transposed,
                 .c = x,
                 .ldc = p.k};
  GemmProblem dw{.m = p.k,
                 .n = p.n,
                 .k = p.m,
                 .a = x,
                 .lda = p.k,
                 .transpose_a = true,
                 .b = y,
                 .ldb = p.n,
                 .c = w,
                 .ldc = p.n,
                 .accumulate = true};
  if (p.transposed) std::swap(dw.m, dw.n), std::swap(dw.a, dw.b), std::swap(dw.lda, dw.ldb), dw.ldc = p.k;
  return {{"forward", forward}, {"dX", dx}, {"dW", dw}};
}

double flops(const GemmProblem& p) {
  return 2 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
}

void fill(const Buffer& buffer, float value) {
  auto* const data = static_cast<float*>(buffer.data());
  std::fill(data, data + buffer.bytes() / sizeof(float), value);
}

}  // namespace

std::vector<ProductRow> measure_products(const Shapes& s, double seconds) {
  const std::int64_t M = s.tokens(), C = s.width;
  const std::vector<Projection> projections = {{"qkv", M, 3 * C, C, false},
                                               {"proj", M, C, C, false},
                                               {"fc", M, 4 * C, C, false},
                                               {"fc_proj", M, C, 4 * C, false},
                                               {"classifier", std::min<std::int64_t>(M, 512), s.vocab, C, true}};
  const std::vector<Peer> peers = find_peers();
  std::vector<ProductRow> rows;
  for (const Projection& p : projections) {
    const auto buffer = [](std::int64_t count) {
      return Buffer(static_cast<std::size_t>(count) * sizeof(float), "bench");
    };
    const Buffer x = buffer(p.m * p.k), w = buffer(p.k * p.n), y = buffer(p.m * p.n);
    for (const Pass& pass :
         passes_of(p, static_cast<float*>(x.data()), static_cast<float*>(w.data()), static_cast<float*>(y.data()))) {
      fill(x, 0.01f), fill(w, 0.02f), fill(y, 0.03f);
      const Buffer scratch(gemm_scratch(pass.problem, threads()) + 64, "bench");
      ProductRow row{.layer = p.layer,
                     .pass = pass.name,
                     .m = pass.problem.m,
                     .n = pass.problem.n,
                     .k = pass.problem.k,
                     .speeds = {}};
      std::vector<std::function<void()>> rivals = {[&] { gemm(pass.problem, scratch.data()); }};
      for (const Peer& peer : peers) rivals.emplace_back([&] { peer.multiply(pass.problem); });
      const std::vector<Timing> timings = times_of(seconds, rivals);
      if (interrupted()) return rows;
      for (std::size_t i = 0; i < rivals.size(); ++i) {
        row.speeds.emplace_back(i == 0 ? "isoloss" : peers[i - 1].name, flops(pass.problem) / timings[i].median);
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace isoloss::bench
