#include "tools/ceg/estimate/derived.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace isoloss::ceg {
namespace {

NoiseFloor floor_of_seeds(const Context& context, const ScaleGroup& group, std::size_t cost) {
  const Sides sides = context.sides(cost, group.baseline, group.baseline);
  const std::size_t n = sides.baseline.size();
  NoiseFloor floor{group.name, context.costs[cost], std::nullopt, {}};
  if (n < 2) {
    floor.source = "unknown: one baseline run and no A/A arm";
    return floor;
  }
  const double target = target_for(context.options, sides.baseline);
  const Crossings at = crossings_at({sides.baseline, sides.baseline, false}, target);
  if (!at.exact()) {
    floor.source = "unknown: the baseline is at the target by its first evaluation";
    return floor;
  }
  floor.interval = ratio_interval(0, independent_spread(at.baseline, at.baseline), context.options.confidence);
  floor.source = fmt::format("scatter of the {} baseline runs; no A/A arm", n);
  return floor;
}

NoiseFloor floor_of_a_a(const ScaleGroup& group, const Row& row) {
  return {group.name, row.cost, row.status == Status::reached ? row.interval : row.auxiliary_interval,
          fmt::format("A/A arm `{}`, {} against {} runs", row.variant, row.seeds, group.baseline.runs.size())};
}

std::optional<Spread> slope_spread(const std::vector<double>& weights, const std::vector<const Estimate*>& estimates,
                                   double residual_sum, double sum_of_squares) {
  std::vector<Spread> parts;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (!estimates[k]->spread) break;
    parts.push_back({weights[k] * weights[k] * estimates[k]->spread->variance, estimates[k]->spread->df});
  }
  if (parts.size() == weights.size()) return combined(parts);
  // Single runs say nothing about their own noise; the points' distance from the line does.
  const double df = static_cast<double>(weights.size()) - 2;
  if (df < 1) return std::nullopt;
  return Spread{residual_sum / df / sum_of_squares, df};
}

void judge(ScaleFit& fit) {
  if (!fit.slope_interval) {
    fit.reason = "nothing to tell the slope's noise from";
  } else if (fit.slope_interval->low > 0 || fit.slope_interval->high < 0) {
    fit.verdict = Verdict::dependent;
    fit.reason =
        fmt::format("the slope's interval leaves out 0: CEG {} with compute", *fit.slope > 0 ? "grows" : "shrinks");
  } else if (fit.slope_interval->low > -kIndependentSlope && fit.slope_interval->high < kIndependentSlope) {
    fit.verdict = Verdict::independent;
    fit.reason = "the slope's whole interval is below 10 % of CEG per decade of compute";
  } else {
    fit.reason = "the slope's interval holds 0 and also slopes beyond 10 % of CEG per decade of compute";
  }
}

ScaleFit scale_fit(const std::string& variant, CostAxis cost, const std::vector<ScaleFit::Sample>& samples,
                   const std::vector<const Estimate*>& estimates, double confidence) {
  ScaleFit fit;
  fit.variant = variant, fit.cost = cost, fit.samples = samples;
  std::vector<double> x, y, weights;
  for (const auto& sample : samples) x.push_back(std::log(sample.compute)), y.push_back(std::log(sample.ceg));
  const double centre = mean(x), sum_of_squares = variance(x) * static_cast<double>(x.size() - 1);
  if (samples.size() < 2 || !(sum_of_squares > 0)) {
    fit.reason = "one compute budget: at least three are needed";
    return fit;
  }
  double slope = 0, residual_sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    weights.push_back((x[k] - centre) / sum_of_squares);
    slope += weights[k] * y[k];
  }
  fit.slope = slope, fit.intercept = mean(y) - slope * centre;
  if (samples.size() < 3) {
    fit.reason = "two compute budgets: at least three are needed";
    return fit;
  }
  for (std::size_t k = 0; k < x.size(); ++k) residual_sum += std::pow(y[k] - *fit.intercept - slope * x[k], 2);
  if (const auto spread = slope_spread(weights, estimates, residual_sum, sum_of_squares)) {
    const double error = std::sqrt(spread->variance), t = student_t_quantile(0.5 + 0.5 * confidence, spread->df);
    fit.slope_interval = Interval{slope - t * error, slope + t * error};
    fit.detectable_slope = (t + student_t_quantile(0.8, spread->df)) * error;
  }
  judge(fit);
  return fit;
}

}  // namespace

std::vector<NoiseFloor> noise_floors(const Context& context, const ScaleGroup& group, const Estimated& all) {
  std::vector<NoiseFloor> floors;
  for (std::size_t c = 0; c < context.costs.size(); ++c) {
    const CostAxis cost = context.costs[c];
    const auto row = std::find_if(all.rows.begin(), all.rows.end(), [&](const Row& candidate) {
      // An arm that failed, or is there by its first evaluation, tells nothing.
      return candidate.a_a && candidate.scale == group.name && candidate.cost == cost &&
             (candidate.ceg || candidate.auxiliary);
    });
    floors.push_back(row == all.rows.end() ? floor_of_seeds(context, group, c) : floor_of_a_a(group, *row));
    if (context.options.method == Method::paper) {
      floors.back().interval.reset();
      floors.back().source = "the paper's method has no intervals";
    }
  }
  return floors;
}

std::vector<ScaleFit> scale_fits(const Context& context, const std::vector<ScaleGroup>& groups, const Estimated& all) {
  std::map<std::string, double> compute;
  for (const ScaleGroup& group : groups) compute[group.name] = group.compute;
  std::vector<ScaleFit> fits;
  for (const CostAxis cost : context.costs) {
    std::vector<std::string> variants;
    for (const Row& row : all.rows) {
      if (std::find(variants.begin(), variants.end(), row.variant) == variants.end()) variants.push_back(row.variant);
    }
    for (const std::string& variant : variants) {
      std::vector<ScaleFit::Sample> samples;
      std::vector<const Estimate*> estimates;
      for (std::size_t i = 0; i < all.rows.size(); ++i) {
        const Row& row = all.rows[i];
        if (row.cost != cost || row.variant != variant || !row.ceg || !(compute[row.scale] > 0)) continue;
        samples.push_back({row.scale, compute[row.scale], *row.ceg, row.interval});
        estimates.push_back(&all.estimates[i]);
      }
      if (!samples.empty()) fits.push_back(scale_fit(variant, cost, samples, estimates, context.options.confidence));
    }
  }
  return fits;
}

}  // namespace isoloss::ceg
