// What crossings are read from: a run's loss on one cost axis, its running minimum, and the cost at which it first
// reaches a loss.
#pragma once

#include <optional>
#include <vector>

#include "tools/ceg/input/curves.h"

namespace isoloss::ceg {

/// A run's curve on one axis. Points without this cost and points at cost 0 are left out (the axis is logarithmic).
struct ReducedCurve {
  std::vector<std::size_t> points;  ///< indices into Run::points
  std::vector<double> log_cost;     ///< natural logarithm, never falling
  std::vector<double> loss, minimum;
  double final_loss = 0;  ///< mean loss of the points with cost >= 0.9 · the run's largest cost
  std::size_t tail = 0;   ///< index of the first of those points
  bool ended = true;      ///< its end is the end of a run; false for one that diverged

  double best() const { return minimum.back(); }
  double last_log_cost() const { return log_cost.back(); }
  /// Whether it is at or under a target at its first point, so that the cost of getting there is at most that point's.
  bool starts_under(double target) const { return minimum.front() <= target; }
  /// Takes other losses at the same points (a resample of the evaluation blocks).
  void set_losses(std::vector<double> losses);
};

/// Throws (exit 2) when the run has no point with cost > 0 on this axis.
ReducedCurve reduce(const Run& run, CostAxis cost);

/// ln C(L): the first crossing of `loss` by the running minimum, linear in (ln cost, loss) between its points; the
/// first point's cost where that is at or under `loss` already; nullopt where the curve never gets there, or for NaN.
std::optional<double> log_crossing(const ReducedCurve& curve, double loss);

/// ln of the ratio of the costs between which the crossing of `loss` lies; 0 where it is at the first point or nowhere.
double crossing_width(const ReducedCurve& curve, double loss);

}  // namespace isoloss::ceg
