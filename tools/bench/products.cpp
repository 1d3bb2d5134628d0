#include "tools/bench/products.h"

#include <algorithm>

#include "engine/buffer.h"
#include "kernels/base/parallel.h"
#include "kernels/cpu/gemm.h"
#include "tools/bench/device_products.h"
#include "tools/bench/peers.h"
#include "tools/bench/timing.h"
#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

GemmProblem problem_of(const Projection& p, Pass pass, float* x, float* w, float* y) {
  const std::int64_t ldw = p.transposed ? p.k : p.n;
  if (pass == Pass::forward) {
    return {.m = p.m,
            .n = p.n,
            .k = p.k,
            .a = x,
            .lda = p.k,
            .b = w,
            .ldb = ldw,
            .transpose_b = p.transposed,
            .c = y,
            .ldc = p.n};
  }
  if (pass == Pass::dx) {
    return {.m = p.m,
            .n = p.k,
            .k = p.n,
            .a = y,
            .lda = p.n,
            .b = w,
            .ldb = ldw,
            .transpose_b = !p.transposed,
            .c = x,
            .ldc = p.k};
  }
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
  return dw;
}

void fill(const Buffer& buffer, float value) {
  auto* const data = static_cast<float*>(buffer.data());
  std::fill(data, data + buffer.bytes() / sizeof(float), value);
}

std::vector<ProductRow> measure_host_products(const std::vector<Projection>& projections, double seconds) {
  const std::vector<Peer> peers = find_peers();
  std::vector<ProductRow> rows;
  for (const Projection& p : projections) {
    const auto buffer = [](std::int64_t count) {
      return Buffer(static_cast<std::size_t>(count) * sizeof(float), "bench");
    };
    const Buffer x = buffer(p.m * p.k), w = buffer(p.k * p.n), y = buffer(p.m * p.n);
    for (const Pass pass : kPasses) {
      const GemmProblem problem = problem_of(p, pass, static_cast<float*>(x.data()), static_cast<float*>(w.data()),
                                             static_cast<float*>(y.data()));
      fill(x, 0.01f), fill(w, 0.02f), fill(y, 0.03f);
      const Buffer scratch(gemm_scratch(problem, threads()) + 64, "bench");
      ProductRow row{
          .layer = p.layer, .pass = name_of(pass), .m = problem.m, .n = problem.n, .k = problem.k, .speeds = {}};
      std::vector<Rival> rivals = {{[&](int) { gemm(problem, scratch.data()); }}};
      for (const Peer& peer : peers) rivals.push_back({[&](int) { peer.multiply(problem); }});
      const std::vector<Timing> timings = times_of(DeviceKind::cpu, seconds, rivals);
      if (interrupted()) return rows;
      for (std::size_t i = 0; i < rivals.size(); ++i) {
        row.speeds.emplace_back(i == 0 ? "isoloss" : peers[i - 1].name, product_flops(p) / timings[i].median);
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace

const char* name_of(Pass pass) { return pass == Pass::forward ? "forward" : pass == Pass::dx ? "dX" : "dW"; }

double product_flops(const Projection& p) {
  return 2 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
}

std::vector<Projection> projections_of(const Shapes& s, std::int64_t classifier_rows, std::int64_t vocab) {
  const std::int64_t M = s.tokens(), C = s.width;
  return {{"qkv", M, 3 * C, C, false},
          {"proj", M, C, C, false},
          {"fc", M, 4 * C, C, false},
          {"fc_proj", M, C, 4 * C, false},
          {"classifier", std::min(M, classifier_rows), vocab, C, true}};
}

std::vector<ProductRow> measure_products(const Shapes& shapes, const Machine& machine, DType real, double seconds) {
  if (machine.on_host()) return measure_host_products(projections_of(shapes, 512, shapes.vocab), seconds);
  return measure_device_products(machine, real, projections_of(shapes, shapes.tokens(), shapes.padded_vocab()),
                                 seconds);
}

}  // namespace isoloss::bench
