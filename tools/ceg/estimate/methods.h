// The three estimators, and what they are given. Each fills one row per arm and axis of a scale.
#pragma once

#include <vector>

#include "tools/ceg/estimate/comparison.h"

namespace isoloss::ceg {

struct Context {
  const std::vector<Run>& runs;
  const Options& options;
  std::vector<CostAxis> costs;                     ///< axes that every run carries
  std::vector<std::vector<ReducedCurve>> reduced;  ///< [index in costs][index in runs]; without points of failed runs

  Sides sides(std::size_t cost, const Arm& baseline, const Arm& arm) const;
};

/// Rows of one scale in order of axis and arm, each with its estimate, and what else the method has to say.
struct Comparisons {
  std::vector<Row> rows;
  std::vector<Estimate> estimates;  ///< one per row
  std::vector<ThresholdSweep> thresholds;
  std::vector<ScaleLaw> laws;
  std::vector<Warning> warnings;
};

/// A row with all that does not depend on the method. That of an arm without a curve is complete with it, but for the
/// target: not reached, at whatever cost.
Row named_row(const ScaleGroup& group, const Arm& arm, CostAxis cost);

/// Crossings of the running minimum at one target loss, intervals from a bootstrap over seeds and evaluation blocks.
Comparisons interpolate(const Context& context, const ScaleGroup& group);

/// The estimator of arXiv 2505.04075: trailing means over evaluations and ratios of their indices; steps only.
Comparisons paper(const Context& context, const ScaleGroup& group);

/// L = E + A (k C)^-alpha with a factor k per variant, fitted to all runs of the scale together.
Comparisons fit(const Context& context, const ScaleGroup& group);

/// ln CEG of every axis and arm under resampled evaluation blocks: [cost][arm][replicate]; empty innermost lists unless
/// all runs of the scale carry the same number (2 or more) of blocks at every point. `block_count` is that number.
std::vector<std::vector<std::vector<double>>> block_replicates(const Context& context, const ScaleGroup& group,
                                                               int& block_count);

}  // namespace isoloss::ceg
