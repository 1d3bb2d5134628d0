// `--method interpolate`: CEG at one loss, from the first crossings of the running minima.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/philox.h"
#include "tools/ceg/estimate/methods.h"

namespace isoloss::ceg {
namespace {

constexpr int kThresholds = 24;  ///< targets of a threshold sweep

double mean_last_log_cost(const std::vector<const ReducedCurve*>& runs) {
  double sum = 0;
  for (const ReducedCurve* run : runs) sum += run->last_log_cost();
  return sum / static_cast<double>(runs.size());
}

/// ln CEG from resampled pairs of seeds, the target read anew from the resampled baseline when it is `final`.
std::vector<double> seed_replicates(const Sides& sides, const Options& options, double target, std::uint64_t stream) {
  if (!sides.paired || sides.baseline.size() < 2) return {};
  std::vector<double> replicates(static_cast<std::size_t>(options.resamples));
  for (std::size_t r = 0; r < replicates.size(); ++r) {
    Sides taken{{}, {}, true};
    for (const std::size_t pair : draw(options.seed, stream, r, sides.baseline.size())) {
      taken.baseline.push_back(sides.baseline[pair]);
      taken.variant.push_back(sides.variant[pair]);
    }
    replicates[r] = crossings_at(taken, options.target ? target : final_target(taken.baseline, target)).log_ceg();
  }
  return replicates;
}

Estimate estimate(const Sides& sides, const Crossings& crossings, const Options& options, double target,
                  std::uint64_t stream, std::vector<double> blocks, int block_count) {
  Estimate result;
  result.log_ceg = crossings.log_ceg();
  result.resamples = {seed_replicates(sides, options, target, stream), std::move(blocks),
                      static_cast<int>(sides.baseline.size()), block_count};
  result.spread = result.resamples.spread();
  if (!result.spread) {
    // No partners for every seed: the sides are independent samples, and the blocks come on top.
    result.spread = spread_at(sides, crossings);
    if (const auto blocks_part = result.resamples.block_spread(); result.spread && blocks_part) {
      const Spread parts[] = {*result.spread, *blocks_part};
      result.spread = combined(parts);
    }
  }
  return result;
}

std::vector<SeedResult> seed_results(const Sides& sides, const Crossings& at, const Arm& baseline, const Arm& arm,
                                     double target) {
  std::vector<SeedResult> results;
  const auto base_reached = reached(sides.baseline, target), arm_reached = reached(sides.variant, target);
  const auto add = [&](std::optional<std::size_t> b, std::optional<std::size_t> v) {
    SeedResult result;
    if (b) result.baseline_seed = baseline.seeds[*b];
    if (v) result.variant_seed = arm.seeds[*v];
    result.target = at.target[sides.paired ? *b : 0];
    const double base_log = b ? at.baseline[*b] : mean(at.baseline), arm_log = v ? at.variant[*v] : mean(at.variant);
    result.baseline_cost = std::exp(base_log), result.variant_cost = std::exp(arm_log);
    result.ceg = std::exp(base_log - arm_log);
    result.baseline_early = b ? sides.baseline[*b]->starts_under(result.target) : at.baseline_early;
    result.variant_early = v ? sides.variant[*v]->starts_under(result.target) : at.variant_early;
    result.baseline_reached = b ? base_reached[*b] : mostly(base_reached);
    result.variant_reached = v ? arm_reached[*v] : mostly(arm_reached);
    results.push_back(result);
  };
  for_each_seed(baseline, arm, add);
  return results;
}

Reverse reverse_direction(const Sides& sides, double confidence) {
  Reverse reverse;
  reverse.target = final_target(sides.variant);
  const Crossings at = crossings_at(sides, reverse.target);
  if (mostly(reached(sides.baseline, reverse.target))) {
    if (at.exact()) {
      reverse.ceg = std::exp(at.log_ceg());
      reverse.interval = ratio_interval(at.log_ceg(), spread_at(sides, at), confidence);
    } else {
      reverse.bound = at.bound();
    }
    return reverse;
  }
  reverse.status = Status::not_reached;
  double variant_cost = 0;
  for (const ReducedCurve* run : sides.variant) {
    variant_cost += *log_crossing(*run, std::max(reverse.target, run->best()));
  }
  variant_cost /= static_cast<double>(sides.variant.size());
  reverse.bound = Bound{std::exp(mean_last_log_cost(sides.baseline) - variant_cost), true};
  return reverse;
}

/// Targets evenly apart in the baseline's ln cost, from 3 % of its budget (or its first evaluation) to its end.
ThresholdSweep threshold_sweep(const Sides& sides, const Row& row, double confidence) {
  ThresholdSweep sweep{row.variant, row.scale, row.cost, {}};
  const ReducedCurve& first = *sides.baseline.front();
  const double end = first.last_log_cost(), begin = std::max(first.log_cost.front(), end + std::log(0.03));
  double earliest = INFINITY, previous = INFINITY;
  for (const auto* side : {&sides.baseline, &sides.variant}) {
    for (const ReducedCurve* run : *side) earliest = std::min(earliest, run->minimum.front());
  }
  for (int k = 0; k < kThresholds; ++k) {
    const double at = begin + (end - begin) * k / (kThresholds - 1);
    const auto next =
        std::lower_bound(first.log_cost.begin(), first.log_cost.end(), at - 1e-12) - first.log_cost.begin();
    const auto i = std::min(static_cast<std::size_t>(next), first.log_cost.size() - 1);
    double target = first.minimum[i];
    if (i > 0 && first.log_cost[i] > first.log_cost[i - 1]) {
      const double share = (at - first.log_cost[i - 1]) / (first.log_cost[i] - first.log_cost[i - 1]);
      target = first.minimum[i - 1] + std::min(share, 1.0) * (first.minimum[i] - first.minimum[i - 1]);
    }
    const auto base = reached(sides.baseline, target), arm = reached(sides.variant, target);
    const bool all = std::count(base.begin(), base.end(), false) + std::count(arm.begin(), arm.end(), false) == 0;
    if (!all || !(target < earliest) || !(target < previous)) continue;
    previous = target;
    const Crossings crossings = crossings_at(sides, target);
    sweep.points.push_back({target, std::exp(crossings.log_ceg()),
                            ratio_interval(crossings.log_ceg(), spread_at(sides, crossings), confidence),
                            static_cast<int>(arm.size())});
  }
  return sweep;
}

/// Which runs of a scale miss the target on one axis: one warning for all arms, since the baseline's own runs scatter
/// around a target that is their mean.
class MissedTargets {
 public:
  void add(const Row& row, const std::vector<bool>& baseline, const std::vector<bool>& arm) {
    const auto missed = [](const std::vector<bool>& flags) { return std::count(flags.begin(), flags.end(), false); };
    first_ = row;
    baseline_missed_ = missed(baseline), baseline_runs_ = baseline.size();
    const bool some = missed(arm) > 0 && missed(arm) < row.seeds;
    if (some) arms_ += fmt::format(", {} of {} of `{}`", missed(arm), row.seeds, row.variant);
  }

  std::optional<Warning> warning() const {
    if (baseline_missed_ == 0 && arms_.empty()) return std::nullopt;
    return Warning{
        WarningKind::partly_reached, first_.cost,
        fmt::format("scale `{}` on {}: {} of {} baseline runs{} miss the target; their pairs are compared at "
                    "the lowest loss that both sides reached",
                    first_.scale, cost_name(first_.cost), baseline_missed_, baseline_runs_, arms_)};
  }

 private:
  Row first_;  ///< scale and axis, the same for all
  std::ptrdiff_t baseline_missed_ = 0;
  std::size_t baseline_runs_ = 0;
  std::string arms_;
};

void remark(Row& row, const std::string& text) { row.remark += (row.remark.empty() ? "" : "; ") + text; }

/// Why a ratio of crossings is no figure, or only one side of it.
std::string early_remark(const Crossings& at) {
  return fmt::format("{} there by the first evaluation, and when before it is not known",
                     !at.variant_early    ? "the baseline is"
                     : !at.baseline_early ? "the variant is"
                                          : "both sides are");
}

/// A crossing is known to lie between two evaluations; where those are far apart the line between them is a guess.
std::optional<Warning> wide_crossings(const Row& row, const Sides& sides, const Crossings& at) {
  constexpr double kWide = 1.5;
  double widest = 0;
  for (const auto* side : {&sides.baseline, &sides.variant}) {
    for (std::size_t i = 0; i < side->size(); ++i) {
      widest = std::max(widest, crossing_width(*(*side)[i], at.target[sides.paired ? i : 0]));
    }
  }
  if (!(std::exp(widest) > kWide)) return std::nullopt;
  return Warning{WarningKind::gaps, row.cost,
                 fmt::format("scale `{}` on {}: `{}` is compared between evaluations up to a factor of {:.2f} apart in "
                             "cost, within which its CEG is a guess",
                             row.scale, cost_name(row.cost), row.variant, std::exp(widest))};
}

/// What holds of an arm most of whose runs never get there: how far off it is, and its CEG at a loss that it reached.
void fill_not_reached(Row& row, const Sides& sides, const Crossings& at, const std::optional<Interval>& interval) {
  row.status = Status::not_reached;
  if (at.exact()) {
    row.auxiliary = std::exp(at.log_ceg());
    row.auxiliary_interval = interval;
  } else {
    remark(row, fmt::format("at its own best loss {}", early_remark(at)));
  }
  const double target = *row.target;
  double base_cost = 0, gap = 0;
  for (const ReducedCurve* run : sides.baseline) base_cost += *log_crossing(*run, std::max(target, run->best()));
  base_cost /= static_cast<double>(sides.baseline.size());
  int missing = 0;
  for (const ReducedCurve* run : sides.variant) {
    if (run->best() > target) gap += run->best() - target, ++missing;
  }
  if (missing == 0) return;  // those with a curve all got there
  row.bound = Bound{std::exp(base_cost - mean_last_log_cost(sides.variant)), false};
  row.gap = gap / missing;
}

/// One arm on one axis.
Row compared_row(const Context& context, const ScaleGroup& group, const Arm& arm, std::size_t cost, const Crossings& at,
                 const Estimate& found, double target) {
  const Sides sides = context.sides(cost, group.baseline, arm);
  Row row = named_row(group, arm, context.costs[cost]);
  row.target = target;
  const auto interval = ratio_interval(found.log_ceg, found.spread, context.options.confidence);
  if (!mostly(reached(sides.variant, target), row.failed)) {
    fill_not_reached(row, sides, at, interval);
  } else if (at.exact()) {
    row.ceg = std::exp(found.log_ceg);
    row.interval = interval;
  } else {
    row.bound = at.bound();
    remark(row, early_remark(at));
  }
  row.per_seed = seed_results(sides, at, group.baseline, arm, target);
  row.reverse = reverse_direction(sides, context.options.confidence);
  return row;
}

}  // namespace

Sides Context::sides(std::size_t cost, const Arm& baseline, const Arm& arm) const {
  Sides result;
  for (const std::size_t run : baseline.runs) result.baseline.push_back(&reduced[cost][run]);
  for (const std::size_t run : arm.runs) result.variant.push_back(&reduced[cost][run]);
  result.paired = fully_paired(baseline, arm);
  return result;
}

Row named_row(const ScaleGroup& group, const Arm& arm, CostAxis cost) {
  Row row;
  row.variant = arm.variant, row.scale = group.name, row.variant_class = arm.variant_class;
  row.cost = cost, row.a_a = arm.a_a;
  row.failed = static_cast<int>(arm.failed.size());
  row.seeds = static_cast<int>(arm.seeds.size()) + row.failed;
  row.pairs = common_seeds(group.baseline, arm);
  if (arm.runs.empty()) {
    row.status = Status::not_reached;
    row.remark = row.seeds == 1 ? "its run diverged before its loss fell"
                                : fmt::format("all {} runs diverged before their loss fell", row.seeds);
  } else if (row.failed > 0) {
    row.remark = fmt::format("{} of {} runs diverged before their loss fell", row.failed, row.seeds);
  }
  return row;
}

Comparisons interpolate(const Context& context, const ScaleGroup& group) {
  const Options& options = context.options;
  Comparisons result;
  int block_count = 0;
  auto blocks = block_replicates(context, group, block_count);
  const std::uint64_t stream = hash_name(group.name);
  for (std::size_t c = 0; c < context.costs.size(); ++c) {
    MissedTargets missed;
    for (std::size_t a = 0; a < group.arms.size(); ++a) {
      const Arm& arm = group.arms[a];
      const Sides sides = context.sides(c, group.baseline, arm);
      const double target = target_for(options, sides.baseline);
      if (arm.runs.empty()) {
        result.rows.push_back(named_row(group, arm, context.costs[c]));
        result.rows.back().target = target;
        result.estimates.emplace_back();
        continue;
      }
      const Crossings at = crossings_at(sides, target);
      Estimate found = estimate(sides, at, options, target, stream, std::move(blocks[c][a]), block_count);
      Row row = compared_row(context, group, arm, c, at, found, target);
      result.thresholds.push_back(threshold_sweep(sides, row, options.confidence));
      if (auto warning = wide_crossings(row, sides, at)) result.warnings.push_back(*warning);
      missed.add(row, reached(sides.baseline, target), reached(sides.variant, target));
      result.rows.push_back(std::move(row));
      result.estimates.push_back(std::move(found));
    }
    if (auto warning = missed.warning()) result.warnings.push_back(*warning);
  }
  return result;
}

}  // namespace isoloss::ceg
