// What host code knows of the classifier's CUDA kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace isoloss {

/// Rows whose logits stand in memory at a time: all of them while they take at most 256 MiB, which keeps the products
/// of a chunk large enough to fill a GPU; then as many whole tiles of 128 rows as that holds.
inline std::int64_t classifier_chunk_rows(std::int64_t rows, std::int64_t width, std::size_t element) {
  const std::int64_t fitting = (std::int64_t{256} << 20) / (width * static_cast<std::int64_t>(element));
  return fitting >= rows ? rows : std::max<std::int64_t>(fitting / 128 * 128, std::min<std::int64_t>(rows, 128));
}

}  // namespace isoloss
