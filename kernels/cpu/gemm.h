// The matrix product of the cpu device: C = op(A) · op(B) or C += op(A) · op(B), row-major float32.
//
// One region of the thread pool a product. Operands whose lines lie side by side (A transposed, B not) are read where
// they are, and so are the rows of A where B is narrow; others are packed, the shared one in panels while the previous
// panel is being multiplied. Every element of
// C is summed over k in an order that depends on k alone, so the result has the same bits for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace isoloss {

/// A block of C that has just got its final value and is still in the first-level cache.
struct GemmBlock {
  float* c;  ///< first element; rows are ldc apart
  std::int64_t row, column, rows, columns;
};

/// Work on a block of C where it was computed: bias, activation. Called once for every part of C, in no particular
/// order, from several threads. It may stream results of its own (vec.h).
struct GemmFinish {
  void (*apply)(const void* context, const GemmBlock& block) = nullptr;
  const void* context = nullptr;
};

struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  ///< [m,k], or [k,m] when transposed
  std::int64_t lda = 0;      ///< distance between stored rows
  bool transpose_a = false;
  const float* b = nullptr;  ///< [k,n], or [n,k] when transposed
  std::int64_t ldb = 0;
  bool transpose_b = false;
  float* c = nullptr;  ///< [m,n]; must not overlap a or b
  std::int64_t ldc = 0;
  bool accumulate = false;  ///< add to C instead of overwriting it
  GemmFinish finish = {};
};

/// Bytes that gemm() needs for such a product on a pool of `threads` threads; only m, n, k and the transpositions
/// count.
std::size_t gemm_scratch(const GemmProblem& problem, int threads);

/// Computes the product. `scratch`: gemm_scratch(problem, threads()) bytes, 64-byte aligned, contents undefined.
void gemm(const GemmProblem& problem, void* scratch);

}  // namespace isoloss
