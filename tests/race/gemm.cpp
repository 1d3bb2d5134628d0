// The waits between the tasks of a product: packing of a panel, multiplications that read it, packing over it.
#include "kernels/cpu/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/base/parallel.h"

namespace isoloss {
namespace {

struct AlignedFloats {
  std::vector<unsigned char> bytes;

  explicit AlignedFloats(std::size_t size) : bytes(size + 64) {}
  void* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
    return bytes.data() + (64 - address % 64) % 64;
  }
};

/// C of ones times twos, which is 2k in every element whatever is computed when.
std::vector<float> product(std::int64_t m, std::int64_t n, std::int64_t k, bool transpose_a, bool transpose_b) {
  const std::vector<float> a(static_cast<std::size_t>(m * k), 1.0f), b(static_cast<std::size_t>(n * k), 2.0f);
  std::vector<float> c(static_cast<std::size_t>(m * n));
  const GemmProblem problem{.m = m,
                            .n = n,
                            .k = k,
                            .a = a.data(),
                            .lda = transpose_a ? m : k,
                            .transpose_a = transpose_a,
                            .b = b.data(),
                            .ldb = transpose_b ? k : n,
                            .transpose_b = transpose_b,
                            .c = c.data(),
                            .ldc = n};
  AlignedFloats scratch(gemm_scratch(problem, threads()));
  gemm(problem, scratch.data());
  return c;
}

}  // namespace

TEST_CASE("gemm: panels are packed, multiplied and overwritten in order") {
  const int before = threads();
  for (const int count : {1, 2, 3, 4}) {
    set_threads(count);
    for (const auto& transposed : {std::pair{false, true}, {false, false}, {true, false}}) {
      CAPTURE(count);
      CAPTURE(transposed.first);
      // Three panels along k, the least that reuses a buffer; 2k is exact in float32.
      const std::vector<float> c = product(100, 110, 19'000, transposed.first, transposed.second);
      CHECK(std::all_of(c.begin(), c.end(), [](float value) { return value == 38'000.0f; }));
    }
    // Threads pack alone, two parts in three depth blocks, but for four of them, which have too few rows.
    const std::vector<float> c = product(400, 400, 800, false, true);
    CHECK(std::all_of(c.begin(), c.end(), [](float value) { return value == 1600.0f; }));
  }
  set_threads(before);
}

}  // namespace isoloss
