// Whether the finished runs of a sweep can be compared, by what their manifests say.
#pragma once

#include "tools/sweep/board.h"

namespace isoloss {

/// Throws (exit 2) naming two finished runs that have read other data under the same names: shards or a tokenizer were
/// replaced between them. With `warnings`, runs made by another build or on another device are told, too.
void expect_comparable(const Board& board, bool warnings);

}  // namespace isoloss
