// One arm against the baseline at one scale on one axis, by crossings: the estimate, and how it spreads over seeds and
// evaluation blocks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/ceg/estimate/arms.h"
#include "tools/ceg/estimate/crossing.h"
#include "tools/ceg/estimate/statistics.h"

namespace isoloss::ceg {

/// Estimates of ln CEG from resampled data, kept so that sums of them (compositions, Shapley values) get intervals too.
/// Replicate r of every arm of a scale draws the same seeds and the same blocks.
struct Resamples {
  std::vector<double> seeds;   ///< ln CEG from resampled pairs of seeds; empty unless all arms are fully paired
  std::vector<double> blocks;  ///< ln CEG from resampled evaluation blocks; empty where runs carry none
  int seed_count = 0, block_count = 0;
  /// n / (n - 1) times the replicates' variance over n seeds, plus the same over blocks. Nullopt with fewer than 2
  /// seeds.
  std::optional<Spread> spread() const;
  std::optional<Spread> block_spread() const;  ///< the blocks' part alone
};

/// Σ weight · ln CEG over arms: the replicates of the sum, where all arms have them.
Resamples weighted_sum(const std::vector<std::pair<double, const Resamples*>>& terms);

/// The estimate behind one row.
struct Estimate {
  double log_ceg = 0;
  std::optional<Spread> spread;
  Resamples resamples;
};

/// A comparison's two sides. Losses of the views may be replaced (a resample of the blocks) without copying seeds.
struct Sides {
  std::vector<const ReducedCurve*> baseline, variant;  ///< in order of seed
  bool paired = false;                                 ///< same seeds on both sides
};

/// ln C of every run, each side in order of seed, read at the row's target or, where a run of the comparison misses it,
/// at the lowest loss that all of it reached: pair by pair when paired, else for both sides together.
struct Crossings {
  std::vector<double> baseline, variant;  ///< ln C
  std::vector<double> target;             ///< paired: of each pair; else one
  /// Some run of that side is there at its first evaluation, so that its cost is at most this.
  bool baseline_early = false, variant_early = false;
  double log_ceg() const { return mean(baseline) - mean(variant); }
  bool exact() const { return !baseline_early && !variant_early; }
  /// What is known of CEG where it is not exact; nullopt where both sides are early: then nothing is.
  std::optional<Bound> bound() const;
};
Crossings crossings_at(const Sides& sides, double target);

/// Mean over the runs of their loss in the last tenth of their cost. Where a run diverged is no end of a run: such runs
/// take no part, unless there are no others and no loss to take instead.
double final_target(const std::vector<const ReducedCurve*>& runs, std::optional<double> otherwise = std::nullopt);

/// Which runs reach a loss, and whether at least half of them do, `failed` further ones among them that do not: then
/// their arm is said to reach it.
std::vector<bool> reached(const std::vector<const ReducedCurve*>& runs, double loss);
bool mostly(const std::vector<bool>& flags, int failed = 0);

/// The loss that the sides are compared at: `final`, or the number asked for. A number that the baseline does not reach
/// gives way to the lowest loss that all of its runs did.
double target_for(const Options& options, const std::vector<const ReducedCurve*>& baseline);

/// The spread over seeds at a target that is held fixed.
std::optional<Spread> spread_at(const Sides& sides, const Crossings& crossings);

/// Draws of a bootstrap: replicate r takes the `count` items whose indices are returned.
std::vector<std::size_t> draw(std::uint64_t seed, std::uint64_t stream, std::size_t replicate, std::size_t count);

}  // namespace isoloss::ceg
