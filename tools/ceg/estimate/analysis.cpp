#include "tools/ceg/estimate/analysis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "kernels/base/error.h"
#include "tools/ceg/estimate/derived.h"

namespace isoloss::ceg {
namespace {

/// The first run with a curve but without this axis.
std::vector<Run>::const_iterator lacking(const std::vector<Run>& runs, CostAxis cost) {
  return std::find_if(runs.begin(), runs.end(), [&](const Run& run) { return !run.failed && !run.has(cost); });
}

/// Axes that every run carries; throws when the wanted one is not among them.
std::vector<CostAxis> common_costs(const std::vector<Run>& runs, const Options& options) {
  if (options.method == Method::paper) {
    if (options.cost && *options.cost != CostAxis::steps) {
      fail_input("--cost", "steps (all that --method paper knows)", cost_name(*options.cost));
    }
    return {CostAxis::steps};
  }
  std::vector<CostAxis> costs;
  std::vector<std::string_view> names;
  for (const CostAxis cost : kAllCosts) {
    const auto lacks = lacking(runs, cost);
    if (lacks == runs.end()) {
      costs.push_back(cost);
      names.push_back(cost_name(cost));
    }
  }
  if (options.cost && std::find(costs.begin(), costs.end(), *options.cost) == costs.end()) {
    const auto lacks = lacking(runs, *options.cost);
    const auto why = std::find_if(lacks->notes.begin(), lacks->notes.end(),
                                  [&](const Note& note) { return note.lost == options.cost; });
    fail_input("--cost", fmt::format("an axis that every run carries ({})", fmt::join(names, ", ")),
               fmt::format("{}, which {} lacks{}", cost_name(*options.cost), lacks->source.string(),
                           why == lacks->notes.end()
                               ? ""
                               : fmt::format(": `{}` seed {}: {}", lacks->variant, lacks->seed, why->text)));
  }
  return costs;
}

Comparisons compare(const Context& context, const ScaleGroup& group) {
  switch (context.options.method) {
    case Method::interpolate:
      return interpolate(context, group);
    case Method::fit:
      return fit(context, group);
    case Method::paper:
      return paper(context, group);
  }
  fail_input("--method", "interpolate, fit or paper", "something else");
}

void warn_about_floor(const Row& row, double confidence, std::vector<Warning>& warnings) {
  const auto& interval = row.status == Status::reached ? row.interval : row.auxiliary_interval;
  if (!row.a_a || !interval || (interval->low <= 1 && interval->high >= 1)) return;
  warnings.push_back({WarningKind::noise_floor, row.cost,
                      fmt::format("scale `{}` on {}: the A/A interval {} to {} leaves out 1: seeds differ by more than "
                                  "they let expect, or this is the {:.0f} % of cases where that happens by chance",
                                  row.scale, cost_name(row.cost), ceg_text(interval->low), ceg_text(interval->high),
                                  100 * (1 - confidence))});
}

/// A row whose figure would rest on a curve's first evaluation.
void warn_about_early(const Row& row, std::vector<Warning>& warnings) {
  if (row.ceg || row.auxiliary || row.per_seed.empty() || row.remark.empty()) return;
  const bool reached = row.status == Status::reached;
  warnings.push_back(
      {WarningKind::gaps, row.cost,
       fmt::format("scale `{}` on {}: {} of `{}` is {}: {}", row.scale, cost_name(row.cost),
                   reached ? "CEG" : "auxiliary CEG", row.variant,
                   reached && row.bound ? bound_text(*row.bound, ceg_text(row.bound->value)) : "not known",
                   row.remark)});
}

std::vector<std::string> variant_order(const std::vector<ScaleGroup>& groups, const std::string& baseline) {
  std::vector<std::string> names{baseline};
  for (const bool a_a : {false, true}) {
    for (const ScaleGroup& group : groups) {
      for (const Arm& arm : group.arms) {
        if (arm.a_a == a_a && std::find(names.begin(), names.end(), arm.variant) == names.end())
          names.push_back(arm.variant);
      }
    }
  }
  return names;
}

bool after_start(const Point& point) { return *point.cost[static_cast<std::size_t>(CostAxis::steps)] > 0; }

/// Whether a run has no curve because it diverged: no evaluation after its start, or none below the first of them. Such
/// a run did not reach any target, unless it was under the one asked for at once.
bool failed_at_once(const Run& run, const std::optional<double>& target) {
  if (run.status != "diverged") return false;
  const auto first = std::find_if(run.points.begin(), run.points.end(), after_start);
  if (first == run.points.end()) return true;
  const bool fell =
      std::any_of(first, run.points.end(), [&](const Point& point) { return point.val_loss < first->val_loss; });
  return !fell && !(target && first->val_loss <= *target);
}

/// Seeds that a sweep has planned and that have no run folder, one warning for each variant and scale.
void warn_about_planned(const std::vector<Run>& runs, std::vector<Warning>& warnings) {
  std::map<std::pair<std::string, std::string>, std::vector<std::int64_t>> seeds;
  for (const Run& run : runs) {
    if (run.status == "planned") seeds[{run.scale, run.variant}].push_back(run.seed);
  }
  for (const auto& [names, missing] : seeds) {
    warnings.push_back({WarningKind::missing, std::nullopt,
                        fmt::format("scale `{}`: the sweep's plan has `{}` seed {}, of which there is no run",
                                    names.first, names.second, fmt::join(missing, ", "))});
  }
}

/// A sweep may be looked at while it runs: what has no evaluation past its start has nothing to say yet. A run that
/// diverged has: it failed.
void set_aside_unevaluated(std::vector<Run>& runs, const Options& options, std::vector<Warning>& warnings) {
  const auto is_baseline = [&](const Run& run) { return run.variant == options.baseline; };
  const bool had_baseline = std::any_of(runs.begin(), runs.end(), is_baseline);
  warn_about_planned(runs, warnings);
  std::erase_if(runs, [](const Run& run) { return run.status == "planned"; });
  std::erase_if(runs, [&](Run& run) {
    run.failed = failed_at_once(run, options.target);
    if (run.failed || std::any_of(run.points.begin(), run.points.end(), after_start)) return false;
    warnings.push_back({WarningKind::unfinished, std::nullopt,
                        fmt::format("`{}` seed {} at scale `{}` is left out: {} has no evaluation after its start",
                                    run.variant, run.seed, run.scale, printable(run.source.string()))});
    return true;
  });
  const auto has_curve = [&](const Run& run) { return is_baseline(run) && !run.failed; };
  if (had_baseline && std::none_of(runs.begin(), runs.end(), has_curve)) {
    const bool failed = std::any_of(runs.begin(), runs.end(), is_baseline);
    fail_input("--baseline", fmt::format("a run of `{}` with an evaluation after its start", options.baseline),
               failed ? "only runs that diverged before their loss fell" : "none");
  }
  if (runs.empty()) fail_input("ceg", "a run with an evaluation after its start", "none");
}

/// Half a curve beside whole ones of the same variant would stand for a run that ended there: it is left out. One that
/// diverged did end there, and counts.
void leave_out_underway(std::vector<Run>& runs, std::vector<Warning>& warnings) {
  const auto underway = [](const Run& run) { return run.status == "running" || run.status == "interrupted"; };
  std::set<std::pair<std::string, std::string>> ended;
  for (const Run& run : runs) {
    if (!underway(run) && !run.failed) ended.emplace(run.variant, run.scale);
  }
  std::erase_if(runs, [&](const Run& run) {
    if (!underway(run) || !ended.contains({run.variant, run.scale})) return false;
    warnings.push_back({WarningKind::unfinished, std::nullopt,
                        fmt::format("`{}` seed {} at scale `{}` is left out: it is not a finished run (status `{}`)",
                                    run.variant, run.seed, run.scale, run.status)});
    return true;
  });
}

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

/// Scales come one after the other; outputs want axes first, scales within.
template <class T>
void sort_by_cost(std::vector<T>& items) {
  std::stable_sort(items.begin(), items.end(), [](const T& a, const T& b) { return a.cost < b.cost; });
}

}  // namespace

std::string ceg_text(double value) {
  const double size = std::abs(value);
  const int decimals = size < 9.9995 ? 3 : size < 99.995 ? 2 : size < 999.95 ? 1 : 0;
  return size >= 0.0995 && size < 999'999.5 ? fmt::format("{:.{}f}", value, decimals) : fmt::format("{:.3g}", value);
}

std::string bound_text(const Bound& bound, std::string_view number) {
  return fmt::format("at {} {}", bound.at_least ? "least" : "most", number);
}

std::string_view method_name(Method method) {
  return method == Method::interpolate ? "interpolate" : method == Method::fit ? "fit" : "paper";
}
std::string_view status_name(Status status) { return status == Status::reached ? "reached" : "not_reached"; }
std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::independent ? "independent" : verdict == Verdict::dependent ? "dependent" : "undetermined";
}

Analysis analyse(std::vector<Run> runs, const Options& options) {
  Analysis analysis;
  analysis.options = options;
  agree_on_variants(runs);
  set_aside_unevaluated(runs, options, analysis.warnings);
  leave_out_underway(runs, analysis.warnings);
  const std::vector<ScaleGroup> groups = group_runs(runs, options.baseline, analysis.warnings);
  Context context{runs, options, common_costs(runs, options), {}};
  for (const CostAxis cost : context.costs) {
    std::vector<ReducedCurve> curves;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      curves.push_back(runs[i].failed ? ReducedCurve() : reduce(runs[i], cost));
      analysis.curves.push_back({i, cost, {}, curves.back().loss, curves.back().minimum});
      for (const std::size_t point : curves.back().points) {
        analysis.curves.back().cost_values.push_back(*runs[i].points[point].cost[static_cast<std::size_t>(cost)]);
      }
    }
    context.reduced.push_back(std::move(curves));
  }
  analysis.costs = context.costs;
  analysis.variants = variant_order(groups, options.baseline);
  Estimated all;
  for (const ScaleGroup& group : groups) {
    analysis.scales.push_back(group.name);
    warn_about_runs(context, group, analysis.warnings);
    Comparisons found = compare(context, group);
    append(all.rows, std::move(found.rows));
    append(all.estimates, std::move(found.estimates));
    append(analysis.thresholds, std::move(found.thresholds));
    append(analysis.laws, std::move(found.laws));
    append(analysis.warnings, std::move(found.warnings));
    append(analysis.noise_floor, noise_floors(context, group, all));
    append(analysis.compositions, compositions(context, group, all, analysis.warnings));
  }
  analysis.scale_fits = scale_fits(context, groups, all);
  for (const Row& row : all.rows) {
    warn_about_floor(row, options.confidence, analysis.warnings);
    warn_about_early(row, analysis.warnings);
  }
  analysis.rows = std::move(all.rows);
  sort_by_cost(analysis.rows), sort_by_cost(analysis.noise_floor), sort_by_cost(analysis.thresholds);
  sort_by_cost(analysis.laws), sort_by_cost(analysis.compositions);
  analysis.runs = std::move(runs);
  return analysis;
}

}  // namespace isoloss::ceg
