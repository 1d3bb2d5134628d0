// What host code knows of the classifier's CUDA kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/core/op.h"

namespace isoloss {

/// Bytes of logits that stand in memory at a time: enough for products that fill a GPU, and for few passes over dw, to
/// which every chunk of rows adds.
inline std::int64_t classifier_logits_bytes(const Attributes& attributes) {
  return attributes.has("logits_bytes") ? attributes.integer("logits_bytes") : std::int64_t{1} << 30;
}

/// Rows of a chunk: as few chunks as `bytes` allow, of equal size in whole tiles of 128 rows.
inline std::int64_t classifier_chunk_rows(std::int64_t rows, std::int64_t width, std::size_t element,
                                          std::int64_t bytes) {
  constexpr std::int64_t kTile = 128;
  const std::int64_t fitting = std::max(bytes / (width * static_cast<std::int64_t>(element)) / kTile, std::int64_t{1});
  const std::int64_t tiles = (rows + kTile - 1) / kTile, chunks = (tiles + fitting - 1) / fitting;
  return std::min(rows, (tiles + chunks - 1) / chunks * kTile);
}

}  // namespace isoloss
