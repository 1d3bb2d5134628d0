// What host code knows of the embedding's CUDA kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/tensor.h"

namespace isoloss {

/// The scratch of a backward pass: the tokens sorted by their ids, digit by digit, and the sums of pieces of the sorted
/// tokens that share an id with a neighbouring piece.
struct EmbeddingSort {
  static constexpr std::int64_t kDigits = 256;  ///< values of a digit
  static constexpr std::int64_t kChunk = 512;   ///< tokens that one block counts and places
  static constexpr std::int64_t kPiece = 32;    ///< sorted tokens that one block sums

  std::int64_t tokens, width, chunks, pieces;

  EmbeddingSort(std::int64_t tokens_, std::int64_t width_)
      : tokens(tokens_),
        width(width_),
        chunks((tokens + kChunk - 1) / kChunk),
        pieces((tokens + kPiece - 1) / kPiece) {}

  // Elements of four bytes: partial [pieces,2,width] f32; then i32 order [2,tokens], sorted [tokens] (the ids), and
  // slots [chunks,kDigits].
  std::int64_t partial() const { return pieces * 2 * width; }
  std::int64_t elements() const { return partial() + 3 * tokens + chunks * kDigits; }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * 4; }
};

}  // namespace isoloss
