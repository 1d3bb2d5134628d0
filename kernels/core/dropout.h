// The dropout mask as a pure function of (seed, step, node, element), so that backward regenerates what forward drew.
#pragma once

#include <cstdint>

#include "kernels/base/philox.h"

namespace isoloss {

/// The mask of one dropout site in one step. `node` names the site (hash of its name); elements are numbered over the
/// whole batch of the step, so that cutting it into micro-batches changes nothing.
struct DropoutMask {
  std::uint64_t key, step;
  std::uint32_t threshold;  ///< an element is dropped when its 32-bit draw is below this
  double scale;             ///< 1 / (1 - p), applied to what is kept, in the precision of the tensor

  constexpr DropoutMask(std::uint64_t seed, std::uint64_t step_, std::uint64_t node, double p)
      : key(mix(seed, node)),
        step(step_),
        threshold(static_cast<std::uint32_t>(p * 4294967296.0)),
        scale(1.0 / (1.0 - p)) {}

  /// Keep flags of elements 4 · block … 4 · block + 3.
  constexpr PhiloxBlock draws(std::uint64_t block) const { return philox(key, step, block); }
  constexpr bool keep(std::uint64_t element) const { return draws(element / 4)[element % 4] >= threshold; }
};

}  // namespace isoloss
