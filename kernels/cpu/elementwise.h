// Loops over contiguous floats in registers: whole registers first, then one partial register, with the same body.
#pragma once

#include <cstdint>

#include "kernels/core/op.h"
#include "kernels/cpu/vec.h"

namespace isoloss {

/// How many lanes of a register the loop body works on.
struct WholeVec {};
struct PartVec {
  std::int64_t lanes;
};

inline Vec load(const float* from, WholeVec) { return Vec::load(from); }
inline Vec load(const float* from, PartVec part) { return Vec::load(from, part.lanes); }
inline void store(Vec value, float* to, WholeVec) { value.store(to); }
inline void store(Vec value, float* to, PartVec part) { value.store(to, part.lanes); }
template <class Lanes>
void store(Vec value, float* to, Lanes lanes, Mode mode) {
  store(mode == Mode::accumulate ? load(to, lanes) + value : value, to, lanes);
}
/// The value with the lanes that lie beyond the data set to zero, for sums.
inline Vec zero_beyond(Vec value, WholeVec) { return value; }
inline Vec zero_beyond(Vec value, PartVec part) { return select(VecMask::first(part.lanes), value, 0.0f); }

/// For a register at element i: `first` in the lanes of elements below `count`, `rest` in the others.
inline Vec leading(std::int64_t i, std::int64_t count, float first, float rest) {
  if (i + kVecWidth <= count) return first;
  if (i >= count) return rest;
  return select(VecMask::first(count - i), first, rest);
}

/// body(i, lanes) for registers that start at element i of [begin, end). `body` is a copy: a lambda that captures by
/// value then has its pointers in registers, where by reference they would be loaded again after every store. Always
/// inlined, since a closure passed through memory costs as much as a short row.
template <class Body>
[[gnu::always_inline]] inline void for_each_vec(std::int64_t begin, std::int64_t end, Body body) {
  std::int64_t i = begin;
  for (; i + kVecWidth <= end; i += kVecWidth) body(i, WholeVec{});
  if (i < end) body(i, PartVec{end - i});
}

/// Elements a task should have at least, so that waking a thread pays, in multiples of every register width.
inline constexpr std::int64_t kElementwiseGrain = 8192;

}  // namespace isoloss
