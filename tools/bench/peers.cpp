#include "tools/bench/peers.h"

#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>

#include "kernels/base/parallel.h"

namespace isoloss::bench {

namespace {

void* open_first(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_GLOBAL); library != nullptr) return library;
  }
  return nullptr;
}

template <class F>
F symbol(void* library, const char* name) {
  return reinterpret_cast<F>(::dlsym(library, name));
}

// The constants of the C interface of BLAS.
constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
using CblasSgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
using DnnlSgemm = int (*)(char transpose_a, char transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                          float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta,
                          float* c, std::int64_t ldc);

}  // namespace

std::vector<Peer> find_peers() {
  // Read by the OpenMP runtime when it is loaded: its threads must not spin while our own kernels are timed.
  ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  std::vector<Peer> peers;
  if (void* library = open_first({"libopenblas.so.0", "libopenblas.so"}); library != nullptr) {
    const auto sgemm = symbol<CblasSgemm>(library, "cblas_sgemm");
    const auto set_count = symbol<void (*)(int)>(library, "openblas_set_num_threads");
    if (sgemm != nullptr && set_count != nullptr) {
      set_count(threads());
      peers.push_back({"OpenBLAS", [sgemm](const GemmProblem& p) {
                         sgemm(kRowMajor, p.transpose_a ? kTransposed : kPlain, p.transpose_b ? kTransposed : kPlain,
                               static_cast<int>(p.m), static_cast<int>(p.n), static_cast<int>(p.k), 1.0f, p.a,
                               static_cast<int>(p.lda), p.b, static_cast<int>(p.ldb), p.accumulate ? 1.0f : 0.0f, p.c,
                               static_cast<int>(p.ldc));
                       }});
    }
  }
  if (void* library = open_first({"libdnnl.so.2", "libdnnl.so.3", "libdnnl.so"}); library != nullptr) {
    const auto sgemm = symbol<DnnlSgemm>(library, "dnnl_sgemm");
    if (const auto set_count = symbol<void (*)(int)>(RTLD_DEFAULT, "omp_set_num_threads"); set_count != nullptr) {
      set_count(threads());
    }
    if (sgemm != nullptr) {
      peers.push_back({"oneDNN", [sgemm](const GemmProblem& p) {
                         sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1.0f, p.a, p.lda,
                               p.b, p.ldb, p.accumulate ? 1.0f : 0.0f, p.c, p.ldc);
                       }});
    }
  }
  return peers;
}

}  // namespace isoloss::bench
