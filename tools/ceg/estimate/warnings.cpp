// What a reader has to know about the runs before believing the table.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <set>

#include "kernels/base/error.h"
#include "tools/ceg/estimate/derived.h"

namespace isoloss::ceg {
namespace {

bool same_curve(const Run& a, const Run& b) {
  return a.points.size() == b.points.size() &&
         std::equal(a.points.begin(), a.points.end(), b.points.begin(),
                    [](const Point& p, const Point& q) { return p.val_loss == q.val_loss && p.cost[0] == q.cost[0]; });
}

/// Each curve that was there before, beside the first one that it equals.
void identical_curves(const std::vector<Run>& runs, const std::vector<std::size_t>& members, const std::string& scale,
                      std::vector<Warning>& warnings) {
  for (std::size_t i = 1; i < members.size(); ++i) {
    const Run& run = runs[members[i]];
    const auto end = members.begin() + static_cast<std::ptrdiff_t>(i);
    const auto first =
        std::find_if(members.begin(), end, [&](std::size_t other) { return same_curve(runs[other], run); });
    if (first == end) continue;
    warnings.push_back({WarningKind::identical_curves, std::nullopt,
                        fmt::format("scale `{}`: the curve of {} equals that of {} bit for bit", scale, described(run),
                                    described(runs[*first]))});
  }
}

/// No cross-entropy of real text is 0 or below, but some loggers write 0 for what is no number.
void impossible_losses(const Run& run, std::vector<Warning>& warnings) {
  const auto impossible = [](const Point& point) { return !(point.val_loss > 0); };
  const auto first = std::find_if(run.points.begin(), run.points.end(), impossible);
  if (first == run.points.end()) return;
  warnings.push_back(
      {WarningKind::record, std::nullopt,
       fmt::format("scale `{}`: {} of {} losses of {} are not above 0, {} at step {} first: no cross-entropy is; all "
                   "are taken as evaluations",
                   run.scale, std::count_if(first, run.points.end(), impossible), run.points.size(), described(run),
                   first->val_loss, *first->cost[0])});
}

/// The tail rises when the last tenth of the steps lies above the tenth before, or when the end has lost more than 2 %
/// of all that was gained: less is what evaluation noise does to a flat curve.
void rising_baseline(const Run& run, std::vector<Warning>& warnings) {
  const std::size_t n = run.points.size();
  if (n < 3) return;
  const double end = step_of(run, n - 1);
  std::vector<double> last, before;
  double best = run.points[0].val_loss, worst = best;
  for (std::size_t i = 0; i < n; ++i) {
    const double loss = run.points[i].val_loss, at = step_of(run, i);
    best = std::min(best, loss), worst = std::max(worst, loss);
    if (10 * at >= 9 * end) {
      last.push_back(loss);
    } else if (10 * at >= 8 * end) {
      before.push_back(loss);
    }
  }
  const double final_loss = run.points.back().val_loss;
  const bool tail = !before.empty() && mean(last) > mean(before);
  if (!tail && !(final_loss - best > 0.02 * (worst - best))) return;
  warnings.push_back(
      {WarningKind::rising_baseline, std::nullopt,
       fmt::format(
           "scale `{}`: the baseline {} rises at the end: its last tenth has mean loss {:.4f}, its best is {:.4f}",
           run.scale, described(run), mean(last), best)});
}

/// Evaluations that are missing: on an even grid a distance beyond 1.5 times the usual one, on any other a distance
/// beyond 1.5 times both of its neighbours.
std::vector<std::string> gaps_of(const Run& run) {
  std::vector<double> distances;
  for (std::size_t i = 1; i < run.points.size(); ++i) distances.push_back(step_of(run, i) - step_of(run, i - 1));
  std::vector<std::string> gaps;
  if (distances.size() < 3) return gaps;
  const auto usual = usual_distance(run);
  for (std::size_t i = 0; i < distances.size(); ++i) {
    const bool inner = i > 0 && i + 1 < distances.size();
    const bool gap = usual ? distances[i] > 1.5 * *usual
                           : inner && distances[i] > 1.5 * std::max(distances[i - 1], distances[i + 1]);
    if (gap) gaps.push_back(fmt::format("{} to {}", step_of(run, i), step_of(run, i + 1)));
  }
  return gaps;
}

/// The last decimal place in which the losses were written: 1e-4 for 3.1416.
double last_place_of(const Run& run) {
  int decimals = 0;
  for (const Point& point : run.points) {
    const std::string text = fmt::format("{}", point.val_loss);  // the shortest that reads back as the same number
    const std::size_t exponent = text.find('e'), dot = text.find('.');
    const std::size_t end = std::min(exponent, text.size());
    const int places = dot == std::string::npos ? 0 : static_cast<int>(end - dot) - 1;
    const int power = exponent == std::string::npos ? 0 : std::atoi(text.c_str() + exponent + 1);
    decimals = std::max(decimals, places - power);
  }
  return std::pow(10.0, -decimals);
}

/// More than chance makes of `expected` repeats, by four standard deviations of a count.
bool beyond_chance(double repeats, double expected) { return repeats > expected + 4 * std::sqrt(expected) + 0.5; }

/// Evaluations of other weights hardly ever agree in every digit. Where losses were rounded some do: neighbours about
/// as often as the last place is a share of what losses usually move by (their lower quartile), any two as it is one of
/// the range that the middle half of them lies in. Only more than that is told. No loss is finer than a float.
void repeated_losses(const Run& run, std::vector<Warning>& warnings) {
  const std::size_t n = run.points.size();
  std::set<double> seen;
  std::vector<double> moves, sorted;
  std::optional<double> first;
  double neighbours = 0, repeats = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double loss = run.points[i].val_loss;
    sorted.push_back(loss);
    if (!seen.insert(loss).second) {
      ++repeats;
      if (!first) first = step_of(run, i);
    }
    if (i == 0) continue;
    const double move = std::abs(loss - run.points[i - 1].val_loss);
    if (move > 0) {
      moves.push_back(move);
    } else {
      ++neighbours;
    }
  }
  if (!first) return;
  std::sort(moves.begin(), moves.end());
  std::sort(sorted.begin(), sorted.end());
  const double place = last_place_of(run), count = static_cast<double>(n);
  const auto chance = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  const double of_neighbours = moves.empty() ? 0 : count * chance(place, moves[moves.size() / 4]);
  const double finest = std::max(place, std::abs(sorted[n / 2]) * std::numeric_limits<float>::epsilon());
  const double of_any = count * count / 2 * chance(finest, std::max(finest, sorted[3 * n / 4] - sorted[n / 4]));
  if (!beyond_chance(neighbours, of_neighbours) && !beyond_chance(repeats, of_any)) return;
  warnings.push_back(
      {WarningKind::repeated_losses, std::nullopt,
       fmt::format("scale `{}`: {} of {} losses of {} repeat an earlier one to the last digit, at step {} first: a "
                   "logger that writes old values again moves the curve; all are taken as evaluations",
                   run.scale, repeats, n, described(run), *first)});
}

void curve_gaps(const Run& run, std::vector<Warning>& warnings) {
  const auto gaps = gaps_of(run);
  if (gaps.empty()) return;
  const std::size_t shown = std::min<std::size_t>(gaps.size(), 3);
  warnings.push_back(
      {WarningKind::gaps, std::nullopt,
       fmt::format("scale `{}`: the curve of {} has gaps: no evaluation from step {}{}", run.scale, described(run),
                   fmt::join(gaps.begin(), gaps.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                   gaps.size() > shown ? fmt::format(" and {} more", gaps.size() - shown) : "")});
}

/// A target that the baseline never reaches, and runs that are under it before they are first evaluated.
void target_warnings(const Context& context, const ScaleGroup& group, const std::vector<std::size_t>& members,
                     std::vector<Warning>& warnings) {
  const Sides sides = context.sides(0, group.baseline, group.baseline);
  const double target = target_for(context.options, sides.baseline);
  if (context.options.target && target != *context.options.target) {
    warnings.push_back(
        {WarningKind::partly_reached, std::nullopt,
         fmt::format("scale `{}`: the baseline does not reach the target {:g}; compared at {:.4f} instead", group.name,
                     *context.options.target, target)});
  }
  if (context.options.method == Method::fit) return;
  for (const std::size_t run : members) {
    if (!context.reduced[0][run].starts_under(target)) continue;
    warnings.push_back(
        {WarningKind::gaps, std::nullopt,
         fmt::format("scale `{}`: {} is under the target at its first evaluation: when it got there is not known",
                     group.name, described(context.runs[run]))});
  }
}

void seed_warnings(const ScaleGroup& group, std::vector<Warning>& warnings) {
  std::vector<std::string> single, two;
  const auto count = [&](const Arm& arm) {
    if (arm.runs.size() == 1) single.push_back(fmt::format("`{}`", arm.variant));
    if (arm.runs.size() == 2) two.push_back(fmt::format("`{}`", arm.variant));
  };
  count(group.baseline);
  for (const Arm& arm : group.arms) {
    if (arm.runs.empty()) continue;
    count(arm);
    if (arm.a_a && common_seeds(group.baseline, arm) > 0) {
      warnings.push_back({WarningKind::noise_floor, std::nullopt,
                          fmt::format("scale `{}`: the A/A arm `{}` has seeds of the baseline: what seeds make of a "
                                      "run is not in its noise floor",
                                      group.name, arm.variant)});
    }
    // An A/A arm has other seeds than the baseline on purpose.
    if (fully_paired(group.baseline, arm) || (arm.a_a && common_seeds(group.baseline, arm) == 0)) continue;
    warnings.push_back(
        {WarningKind::unpaired_seeds, std::nullopt,
         fmt::format("scale `{}`: `{}` has seeds {} and the baseline {}: those without a partner are compared "
                     "with the mean of the other side, and the interval takes the sides as independent",
                     group.name, arm.variant, fmt::join(arm.seeds, ", "), fmt::join(group.baseline.seeds, ", "))});
  }
  if (!single.empty()) {
    warnings.push_back(
        {WarningKind::few_seeds, std::nullopt,
         fmt::format("scale `{}`: one run only of {}: its noise is unknown", group.name, fmt::join(single, ", "))});
  }
  if (!two.empty()) {
    warnings.push_back(
        {WarningKind::few_seeds, std::nullopt,
         fmt::format("scale `{}`: two runs only of {}: intervals are very wide, three or more seeds narrow them",
                     group.name, fmt::join(two, ", "))});
  }
}

std::string counted(std::size_t evaluations) {
  return evaluations == 1 ? "one evaluation" : fmt::format("{} evaluations", evaluations);
}

/// A baseline that diverged sets no target, since its end is no end of a run.
void diverged_baseline(const Context& context, const Arm& baseline, std::vector<Warning>& warnings) {
  std::vector<std::string> seeds;
  for (const std::size_t run : baseline.runs) {
    if (context.runs[run].status == "diverged") seeds.push_back(fmt::format("{}", context.runs[run].seed));
  }
  if (seeds.empty() || context.options.target || context.options.method == Method::fit) return;
  const bool all = seeds.size() == baseline.runs.size(), paper = context.options.method == Method::paper;
  warnings.push_back({WarningKind::unfinished, std::nullopt,
                      fmt::format("scale `{}`: of the baseline seed {} diverged: {}",
                                  context.runs[baseline.runs.front()].scale, fmt::join(seeds, ", "),
                                  paper ? "its last loss is the target of its pairs all the same"
                                  : all ? "the target is the mean loss of runs that did not end"
                                        : "the others alone set the target, and it counts as one that misses it")});
}

void unfinished(const Run& run, std::vector<Warning>& warnings) {
  static const std::set<std::string, std::less<>> done{"", "finished", "done", "complete", "completed"};
  if (done.count(run.status)) return;
  if (run.failed) {
    warnings.push_back(
        {WarningKind::unfinished, std::nullopt,
         fmt::format("scale `{}`: {} diverged before its loss fell ({} in {}): it counts as a run that "
                     "does not reach the target, and has no part in any CEG",
                     run.scale, described(run), counted(run.points.size()), printable(run.source.string()))});
    return;
  }
  warnings.push_back({WarningKind::unfinished, std::nullopt,
                      fmt::format("scale `{}`: {} is not a finished run (status `{}`)", run.scale, described(run),
                                  printable(run.status))});
}

/// What the readers noted, each thing once for all runs that it is true of.
void reading_notes(const std::vector<Run>& runs, const std::vector<std::size_t>& members,
                   std::vector<Warning>& warnings) {
  std::vector<std::pair<std::string, std::vector<const Run*>>> by_text;
  for (const std::size_t i : members) {
    for (const Note& note : runs[i].notes) {
      const auto same =
          std::find_if(by_text.begin(), by_text.end(), [&](const auto& it) { return it.first == note.text; });
      if (same == by_text.end()) {
        by_text.push_back({note.text, {&runs[i]}});
      } else {
        same->second.push_back(&runs[i]);
      }
    }
  }
  for (const auto& [text, noted] : by_text) {
    const std::string where = noted.size() == 1 ? fmt::format(" ({})", printable(noted.front()->source.string()))
                                                : fmt::format(" and {} more runs", noted.size() - 1);
    warnings.push_back(
        {WarningKind::record, std::nullopt,
         fmt::format("scale `{}`: {}{}: {}", noted.front()->scale, described(*noted.front()), where, text)});
  }
}

}  // namespace

double step_of(const Run& run, std::size_t point) {
  return *run.points[point].cost[static_cast<std::size_t>(CostAxis::steps)];
}

std::string described(const Run& run) { return fmt::format("`{}` seed {}", run.variant, run.seed); }

std::optional<double> usual_distance(const Run& run) {
  std::map<double, std::size_t> counts;
  for (std::size_t i = 1; i < run.points.size(); ++i) ++counts[step_of(run, i) - step_of(run, i - 1)];
  if (run.points.size() < 4) return std::nullopt;
  const auto usual =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return 2 * usual->second > run.points.size() - 1 ? std::optional(usual->first) : std::nullopt;
}

void warn_about_runs(const Context& context, const ScaleGroup& group, std::vector<Warning>& warnings) {
  std::vector<std::size_t> members = group.baseline.runs;
  for (const Arm& arm : group.arms) members.insert(members.end(), arm.runs.begin(), arm.runs.end());
  identical_curves(context.runs, members, group.name, warnings);
  for (const std::size_t run : group.baseline.runs) rising_baseline(context.runs[run], warnings);
  warn_about_unlike_runs(context, group, members, warnings);
  for (const std::size_t run : members) {
    curve_gaps(context.runs[run], warnings);
    repeated_losses(context.runs[run], warnings);
    impossible_losses(context.runs[run], warnings);
  }
  std::vector<std::size_t> all = members;
  all.insert(all.end(), group.baseline.failed.begin(), group.baseline.failed.end());
  for (const Arm& arm : group.arms) all.insert(all.end(), arm.failed.begin(), arm.failed.end());
  reading_notes(context.runs, all, warnings);
  for (const std::size_t run : all) unfinished(context.runs[run], warnings);
  diverged_baseline(context, group.baseline, warnings);
  target_warnings(context, group, members, warnings);
  seed_warnings(group, warnings);
}

}  // namespace isoloss::ceg
