// The matrix product against plain sums in double, over shapes around every block size, layouts, strides and epilogues.
#include "kernels/cpu/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"

namespace isoloss {

namespace {

constexpr float kGuard = -12345.0f;
constexpr std::size_t kGuardBytes = 64;

std::vector<float> random_values(std::int64_t count, std::uint64_t stream) {
  Philox random(11, stream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  return values;
}

struct Case {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate;
  std::int64_t slack = 0;     // additional distance between stored rows
  std::int64_t row_step = 1;  // every how many rows are compared: the plain sums are slow
};

struct Operands {
  std::int64_t lda, ldb, ldc;
  std::vector<float> a, b, c;

  explicit Operands(const Case& test) {
    lda = (test.transpose_a ? test.m : test.k) + test.slack;
    ldb = (test.transpose_b ? test.k : test.n) + test.slack;
    ldc = test.n + test.slack;
    // Exactly as many elements as the product may read: an address checker sees any read beyond.
    a = random_values(((test.transpose_a ? test.k : test.m) - 1) * lda + (lda - test.slack), 1);
    b = random_values(((test.transpose_b ? test.n : test.k) - 1) * ldb + (ldb - test.slack), 2);
    c = random_values(test.m * ldc, 3);
    for (std::int64_t row = 0; row < test.m; ++row) {
      for (std::int64_t column = test.n; column < ldc; ++column)
        c[static_cast<std::size_t>(row * ldc + column)] = kGuard;
    }
  }
};

std::vector<float> product(const Case& test, const Operands& from, GemmFinish finish = {}) {
  std::vector<float> c = from.c;
  const GemmProblem problem{.m = test.m,
                            .n = test.n,
                            .k = test.k,
                            .a = from.a.data(),
                            .lda = from.lda,
                            .transpose_a = test.transpose_a,
                            .b = from.b.data(),
                            .ldb = from.ldb,
                            .transpose_b = test.transpose_b,
                            .c = c.data(),
                            .ldc = from.ldc,
                            .accumulate = test.accumulate,
                            .finish = finish};
  const std::size_t bytes = gemm_scratch(problem, threads());
  std::vector<unsigned char> scratch(bytes + 2 * kGuardBytes, 0xa5);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  unsigned char* const aligned = scratch.data() + (kGuardBytes - address % kGuardBytes) % kGuardBytes;
  gemm(problem, aligned);
  for (const unsigned char* guard = aligned + bytes; guard < scratch.data() + scratch.size(); ++guard) {
    REQUIRE(*guard == 0xa5);
  }
  return c;
}

/// Largest error of the product over what a sum of k rounded products may err: k · 2^-24 times the sum of magnitudes.
double worst_error(const Case& test, const Operands& from, const std::vector<float>& c) {
  double worst = 0;
  for (std::int64_t row = 0; row < test.m; row += test.row_step) {
    for (std::int64_t column = 0; column < test.n; ++column) {
      const auto at = static_cast<std::size_t>(row * from.ldc + column);
      double sum = test.accumulate ? static_cast<double>(from.c[at]) : 0, size = std::abs(sum);
      for (std::int64_t k = 0; k < test.k; ++k) {
        const std::int64_t at_a = test.transpose_a ? k * from.lda + row : row * from.lda + k;
        const std::int64_t at_b = test.transpose_b ? column * from.ldb + k : k * from.ldb + column;
        const double term = static_cast<double>(from.a[static_cast<std::size_t>(at_a)]) *
                            static_cast<double>(from.b[static_cast<std::size_t>(at_b)]);
        sum += term;
        size += std::abs(term);
      }
      const double allowed = static_cast<double>(test.k + 2) * 0x1p-24 * size;
      const double error = std::abs(static_cast<double>(c[at]) - sum);
      worst = error <= allowed ? std::max(worst, error / allowed) : std::numeric_limits<double>::infinity();
    }
    for (std::int64_t column = test.n; column < from.ldc; ++column) {
      if (c[static_cast<std::size_t>(row * from.ldc + column)] != kGuard)
        return std::numeric_limits<double>::infinity();
    }
  }
  return worst;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check(Case test) {
  for (int layout = 0; layout < 8; ++layout) {
    test.transpose_a = (layout & 1) != 0, test.transpose_b = (layout & 2) != 0, test.accumulate = (layout & 4) != 0;
    CAPTURE(test.m);
    CAPTURE(test.n);
    CAPTURE(test.k);
    CAPTURE(layout);
    const Operands from(test);
    CHECK(worst_error(test, from, product(test, from)) <= 1.0);
  }
}

}  // namespace

TEST_CASE("gemm: every small shape around the register tile") {
  for (const std::int64_t m : {1, 2, 5, 6, 13, 14, 15, 29}) {
    for (const std::int64_t n : {1, 15, 16, 17, 31, 32, 33, 65}) {
      for (const std::int64_t k : {1, 7, 16, 33}) check({m, n, k, false, false, false, (m + n + k) % 3});
    }
  }
}

TEST_CASE("gemm: several depth blocks, panels and tasks") {
  check({130, 70, 260, false, false, false});
  check({33, 2100, 300, false, false, false, 1, 8});     // few rows
  check({900, 33, 40, false, false, false});             // few columns
  check({210, 230, 10500, false, false, false, 3, 37});  // three panels along k: their buffers are used again
}

TEST_CASE("gemm: an empty sum is zero, an empty product touches nothing") {
  std::vector<float> c(6, 3.0f);
  gemm({.m = 2, .n = 2, .c = c.data(), .ldc = 3}, nullptr);
  CHECK(c == std::vector<float>{0, 0, 3, 0, 0, 3});
  c.assign(6, 3.0f);
  gemm({.m = 2, .n = 2, .c = c.data(), .ldc = 3, .accumulate = true}, nullptr);
  gemm({.m = 0, .n = 2, .c = c.data(), .ldc = 3}, nullptr);
  CHECK(c == std::vector<float>(6, 3.0f));
}

TEST_CASE("gemm: the number of threads changes no bit") {
  const int before = threads();
  for (const Case& test : {Case{300, 500, 900, false, true, true}, Case{40, 2100, 1500, true, false, false},
                           Case{210, 230, 10500, false, true, false}, Case{230, 210, 10500, false, false, false},
                           Case{220, 220, 10500, true, false, true},
                           // Enough rows for two and three threads to pack alone, in three parts and depth blocks.
                           Case{600, 700, 900, false, true, true}}) {
    const Operands from(test);
    set_threads(1);
    const std::vector<float> alone = product(test, from);
    for (const int count : {2, 3, 5}) {
      set_threads(count);
      for (int repeat = 0; repeat < 3; ++repeat) CHECK(same_bits(product(test, from), alone));
    }
  }
  set_threads(before);
}

TEST_CASE("gemm: NaN and infinity reach every element that depends on them, and no other") {
  const Case test{20, 40, 50, false, false, false};
  Operands from(test);
  from.a[3 * 50 + 7] = std::numeric_limits<float>::quiet_NaN();
  from.b[9 * 40 + 33] = std::numeric_limits<float>::infinity();
  const std::vector<float> c = product(test, from);
  for (std::int64_t row = 0; row < test.m; ++row) {
    for (std::int64_t column = 0; column < test.n; ++column) {
      const float value = c[static_cast<std::size_t>(row * test.n + column)];
      CHECK(std::isnan(value) == (row == 3));
      CHECK(std::isinf(value) == (row != 3 && column == 33));
    }
  }
}

TEST_CASE("gemm: the finish sees every element once, with its final value") {
  for (const Case& test : {Case{45, 70, 30, false, false, false}, Case{100, 1100, 1300, false, true, true}}) {
    const Operands from(test);
    const std::vector<float> plain = product(test, from);
    const std::int64_t ldc = from.ldc;
    const auto negate = [](const void* context, const GemmBlock& block) {
      const std::int64_t stride = *static_cast<const std::int64_t*>(context);
      for (std::int64_t row = 0; row < block.rows; ++row) {
        for (std::int64_t column = 0; column < block.columns; ++column) {
          const auto position = static_cast<float>((block.row + row) * 2 + block.column + column);
          float& value = block.c[row * stride + column];
          value = position - value;
        }
      }
    };
    const std::vector<float> finished = product(test, from, {negate, &ldc});
    std::size_t wrong = 0;
    for (std::int64_t row = 0; row < test.m; ++row) {
      for (std::int64_t column = 0; column < test.n; ++column) {
        const auto at = static_cast<std::size_t>(row * ldc + column);
        wrong += finished[at] != static_cast<float>(row * 2 + column) - plain[at];
      }
    }
    CHECK(wrong == 0);
  }
}

}  // namespace isoloss
