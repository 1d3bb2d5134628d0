// `--method paper`: the estimator of arXiv 2505.04075 as its authors computed it, to the digit.
#include <algorithm>
#include <cmath>

#include "tools/ceg/estimate/methods.h"

namespace isoloss::ceg {
namespace {

constexpr std::size_t kWindow = 8;  ///< evaluations in the trailing mean; fewer at the start

std::vector<double> trailing_means(const Run& run) {
  std::vector<double> smoothed;
  for (std::size_t i = 0; i < run.points.size(); ++i) {
    const std::size_t begin = i + 1 > kWindow ? i + 1 - kWindow : 0;
    double sum = 0;
    for (std::size_t k = begin; k <= i; ++k) sum += run.points[k].val_loss;
    smoothed.push_back(sum / static_cast<double>(i + 1 - begin));
  }
  return smoothed;
}

/// 1 + the index of the first value at or under `loss`, which one is.
double first_at_or_under(const std::vector<double>& values, double loss) {
  const auto found = std::find_if(values.begin(), values.end(), [&](double value) { return value <= loss; });
  return static_cast<double>(found - values.begin()) + 1;
}

/// One run against one run. Costs are counts of evaluations, as in the paper.
struct Pair {
  double target = 0, compared_at = 0, baseline_cost = 0, variant_cost = 0;
  bool variant_reached = false;
  double gap = 0;    ///< the variant's smallest smoothed loss minus the target
  double bound = 0;  ///< the baseline's cost of the target over all that the variant spent
};

Pair compare(const std::vector<double>& baseline, const std::vector<double>& variant, std::optional<double> target) {
  Pair pair;
  const double best_baseline = *std::min_element(baseline.begin(), baseline.end());
  const double best_variant = *std::min_element(variant.begin(), variant.end());
  // A number that the baseline does not reach gives way to the lowest loss that it did.
  pair.target = std::max(target.value_or(baseline.back()), best_baseline);
  pair.variant_reached = best_variant <= pair.target;
  // A variant that falls short is compared at its own smallest smoothed loss: the paper's auxiliary CEG.
  pair.compared_at = std::max(pair.target, best_variant);
  pair.baseline_cost = first_at_or_under(baseline, pair.compared_at);
  pair.variant_cost = first_at_or_under(variant, pair.compared_at);
  pair.gap = best_variant - pair.target;
  pair.bound = first_at_or_under(baseline, pair.target) / static_cast<double>(variant.size());
  return pair;
}

/// A seed's comparison: with its partner, or with every run of the other side where it has none.
SeedResult seed_result(const std::vector<Pair>& pairs) {
  SeedResult result;
  double base = 0, variant = 0, target = 0;
  std::size_t variant_reached = 0;
  for (const Pair& pair : pairs) {
    base += std::log(pair.baseline_cost), variant += std::log(pair.variant_cost), target += pair.compared_at;
    variant_reached += pair.variant_reached;
  }
  const double n = static_cast<double>(pairs.size());
  result.target = target / n;
  result.baseline_cost = std::exp(base / n), result.variant_cost = std::exp(variant / n);
  // One pair: the counts themselves, free of the rounding of exp and log.
  if (pairs.size() == 1) result.baseline_cost = pairs[0].baseline_cost, result.variant_cost = pairs[0].variant_cost;
  result.ceg = result.baseline_cost / result.variant_cost;
  result.variant_reached = 2 * variant_reached >= pairs.size();
  return result;
}

void fill(Row& row, const std::vector<Pair>& all) {
  std::vector<double> logs, targets, gaps, bounds;
  for (const SeedResult& seed : row.per_seed) logs.push_back(std::log(seed.ceg));
  for (const Pair& pair : all) {
    targets.push_back(pair.target);
    if (!pair.variant_reached) gaps.push_back(pair.gap), bounds.push_back(std::log(pair.bound));
  }
  row.target = mean(targets);
  const double ceg = row.per_seed.size() == 1 ? row.per_seed.front().ceg : std::exp(mean(logs));
  // The share of the pairs that got there is that of the runs with a curve; those that failed missed the target.
  const auto curves = static_cast<std::size_t>(row.seeds - row.failed), runs = static_cast<std::size_t>(row.seeds);
  if (2 * (all.size() - gaps.size()) * curves >= all.size() * runs) {
    row.ceg = ceg;
    return;
  }
  row.status = Status::not_reached;
  row.auxiliary = ceg;
  if (gaps.empty()) return;  // those with a curve all got there
  row.gap = mean(gaps);
  row.bound = Bound{std::exp(mean(bounds)), false};
}

/// The mean of the targets that the baseline's runs set.
double target_of(const std::vector<std::vector<double>>& baseline, const std::optional<double>& target) {
  std::vector<double> targets;
  for (const auto& run : baseline) targets.push_back(compare(run, run, target).target);
  return mean(targets);
}

}  // namespace

Comparisons paper(const Context& context, const ScaleGroup& group) {
  Comparisons result;
  const Arm& baseline = group.baseline;
  const auto smoothed = [&](const Arm& arm) {
    std::vector<std::vector<double>> curves;
    for (const std::size_t run : arm.runs) curves.push_back(trailing_means(context.runs[run]));
    return curves;
  };
  const auto base = smoothed(baseline);
  for (const Arm& arm : group.arms) {
    const auto curves = smoothed(arm);
    Row row = named_row(group, arm, CostAxis::steps);
    if (arm.runs.empty()) {
      row.target = target_of(base, context.options.target);
      result.rows.push_back(std::move(row));
      result.estimates.emplace_back();
      continue;
    }
    std::vector<Pair> all;
    const auto add = [&](std::optional<std::size_t> b, std::optional<std::size_t> v) {
      std::vector<Pair> pairs;
      for (std::size_t i = b.value_or(0); i < (b ? *b + 1 : base.size()); ++i) {
        for (std::size_t k = v.value_or(0); k < (v ? *v + 1 : curves.size()); ++k) {
          pairs.push_back(compare(base[i], curves[k], context.options.target));
        }
      }
      SeedResult seed = seed_result(pairs);
      if (b) seed.baseline_seed = baseline.seeds[*b];
      if (v) seed.variant_seed = arm.seeds[*v];
      row.per_seed.push_back(seed);
      all.insert(all.end(), pairs.begin(), pairs.end());
    };
    for_each_seed(baseline, arm, add);
    fill(row, all);
    Estimate found;
    found.log_ceg = std::log(row.ceg ? *row.ceg : *row.auxiliary);
    result.rows.push_back(std::move(row));
    result.estimates.push_back(std::move(found));
  }
  return result;
}

}  // namespace isoloss::ceg
