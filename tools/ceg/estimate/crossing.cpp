#include "tools/ceg/estimate/crossing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"

namespace isoloss::ceg {

void ReducedCurve::set_losses(std::vector<double> losses) {
  loss = std::move(losses);
  minimum = loss;
  for (std::size_t i = 1; i < minimum.size(); ++i) minimum[i] = std::min(minimum[i], minimum[i - 1]);
  double sum = 0;
  for (std::size_t i = tail; i < loss.size(); ++i) sum += loss[i];
  final_loss = sum / static_cast<double>(loss.size() - tail);
}

ReducedCurve reduce(const Run& run, CostAxis cost) {
  ReducedCurve curve;
  curve.ended = run.status != "diverged";
  std::vector<double> losses;
  double largest = 0;
  for (std::size_t i = 0; i < run.points.size(); ++i) {
    const auto& value = run.points[i].cost[static_cast<std::size_t>(cost)];
    if (!value || !(*value > 0)) continue;
    curve.points.push_back(i);
    curve.log_cost.push_back(std::log(*value));
    losses.push_back(run.points[i].val_loss);
    largest = *value;
  }
  if (losses.empty()) {
    fail_input(run.source.string(),
               fmt::format("an evaluation of `{}` with `{}` above 0", run.variant, cost_name(cost)), "none");
  }
  // 10 and 9 rather than 0.9, which no double is: whole numbers compare exactly.
  while (10 * *run.points[curve.points[curve.tail]].cost[static_cast<std::size_t>(cost)] < 9 * largest) ++curve.tail;
  curve.set_losses(std::move(losses));
  return curve;
}

namespace {

/// Index of the first point at or under `loss`, which one is.
std::size_t first_under(const ReducedCurve& curve, double loss) {
  const auto first =
      std::partition_point(curve.minimum.begin(), curve.minimum.end(), [&](double value) { return value > loss; });
  return static_cast<std::size_t>(first - curve.minimum.begin());
}

}  // namespace

double crossing_width(const ReducedCurve& curve, double loss) {
  if (!(curve.best() <= loss)) return 0;
  const std::size_t i = first_under(curve, loss);
  return i == 0 ? 0 : curve.log_cost[i] - curve.log_cost[i - 1];
}

std::optional<double> log_crossing(const ReducedCurve& curve, double loss) {
  // Written so that a NaN target finds nothing.
  if (!(curve.best() <= loss)) return std::nullopt;
  const std::size_t i = first_under(curve, loss);
  if (i == 0) return curve.log_cost[0];
  const double share = (curve.minimum[i - 1] - loss) / (curve.minimum[i - 1] - curve.minimum[i]);
  return curve.log_cost[i - 1] + share * (curve.log_cost[i] - curve.log_cost[i - 1]);
}

}  // namespace isoloss::ceg
