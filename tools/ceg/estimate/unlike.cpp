// Runs that stand in one table and are not alike: in what they were evaluated on, in what they were told to do, in what
// their evaluations carry.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "kernels/base/error.h"
#include "tools/ceg/estimate/derived.h"

namespace isoloss::ceg {
namespace {

constexpr std::size_t kMostKeys = 4;  ///< of a configuration, in one warning

/// Tokens of one step, to four digits; "" where a run does not tell.
std::string step_size(const Run& run) {
  const auto& tokens = run.points.back().cost[static_cast<std::size_t>(CostAxis::tokens)];
  const double steps = step_of(run, run.points.size() - 1);
  return tokens && steps > 0 ? fmt::format("{:.4g}", *tokens / steps) : "";
}

std::string last_step(const Run& run) { return fmt::format("{:g}", step_of(run, run.points.size() - 1)); }

std::string distance_text(const Run& run) {
  const auto usual = usual_distance(run);
  return usual ? fmt::format("{:g}", *usual) : "";
}

/// Compares the runs of one scale, and keeps the warnings.
class Comparer {
 public:
  Comparer(const Context& context, const ScaleGroup& group, std::vector<Warning>& warnings)
      : context_(context), group_(group), warnings_(warnings) {}

  /// One warning when runs have different texts, each that of one run or "" where it tells none.
  template <class TextOf>
  void differing(const std::vector<std::size_t>& runs, const TextOf& text_of, WarningKind kind, std::string_view what,
                 std::optional<CostAxis> cost = std::nullopt) {
    std::map<std::string, std::vector<std::string>> by_text;
    for (const std::size_t run : runs) {
      if (std::string text = text_of(context_.runs[run]); !text.empty()) {
        by_text[std::move(text)].push_back(described(context_.runs[run]));
      }
    }
    if (by_text.size() < 2) return;
    std::vector<std::string> kinds;
    for (const auto& [text, names] : by_text) {
      kinds.push_back(
          fmt::format("{}{}", names.front(), names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : ""));
    }
    warn(kind, fmt::format("{}: {}", what, fmt::join(kinds, " | ")), cost);
  }

  /// Keys of the configuration in which the runs of one thing differ, beside the seed.
  void settings(const std::string& thing, const std::vector<std::size_t>& runs) {
    const std::map<std::string, std::string>* first = nullptr;
    std::set<std::string> keys;
    for (const std::size_t run : runs) {
      const auto& own = context_.runs[run].settings;
      if (own.empty()) continue;
      if (!first) first = &own;
      for (const auto* one : {first, &own}) {
        const auto* other = one == first ? &own : first;
        for (const auto& [key, value] : *one) {
          const auto found = other->find(key);
          if (found == other->end() || found->second != value) keys.insert(printable(key));
        }
      }
    }
    if (keys.empty()) return;
    const std::vector<std::string> shown(
        keys.begin(), std::next(keys.begin(), static_cast<std::ptrdiff_t>(std::min(keys.size(), kMostKeys))));
    warn(WarningKind::unequal_runs,
         fmt::format("{} differ in more than their seed: {}{}", thing, fmt::join(shown, ", "),
                     keys.size() > shown.size() ? fmt::format(" and {} more", keys.size() - shown.size()) : ""));
  }

  /// Where a diverged run stopped it was not meant to end.
  void lengths(const Arm& arm) {
    std::vector<std::size_t> ended;
    for (const std::size_t run : arm.runs) {
      if (context_.runs[run].status != "diverged") ended.push_back(run);
    }
    differing(ended, last_step, WarningKind::unequal_runs,
              fmt::format("runs of `{}` end at different steps, as if some were cut off", arm.variant));
  }

  /// Evaluations that cannot be placed on an axis are left out there, as if they had not been made.
  void unplaced(std::size_t run, CostAxis cost) {
    const auto& points = context_.runs[run].points;
    const auto missing = std::count_if(points.begin(), points.end(), [&](const Point& point) {
      return *point.cost[0] > 0 && !point.cost[static_cast<std::size_t>(cost)];
    });
    if (missing == 0) return;
    warn(WarningKind::gaps,
         fmt::format("{} of {} evaluations of {} have no `{}` and are left out on that axis", missing, points.size(),
                     described(context_.runs[run]), cost_name(cost)),
         cost);
  }

  /// Blocks are resampled for all runs together, so all have to carry the same number of them.
  void blocks(const std::vector<std::size_t>& runs) {
    std::set<std::size_t> counts;
    for (const std::size_t run : runs) {
      for (const Point& point : context_.runs[run].points) counts.insert(point.block_losses.size());
    }
    if (counts.size() < 2) return;
    warn(WarningKind::unequal_evaluation,
         "evaluations carry different numbers of blocks, so the intervals leave out the noise of the evaluation set");
  }

 private:
  void warn(WarningKind kind, std::string_view text, std::optional<CostAxis> cost = std::nullopt) {
    warnings_.push_back({kind, cost, fmt::format("scale `{}`: {}", group_.name, text)});
  }

  const Context& context_;
  const ScaleGroup& group_;
  std::vector<Warning>& warnings_;
};

}  // namespace

void warn_about_unlike_runs(const Context& context, const ScaleGroup& group, const std::vector<std::size_t>& members,
                            std::vector<Warning>& warnings) {
  Comparer comparer(context, group, warnings);
  const auto evaluation_set = [](const Run& run) { return run.evaluation_set; };
  const auto tokenizer = [](const Run& run) { return run.tokenizer; };
  const auto training_data = [](const Run& run) { return run.training_data; };
  const auto hardware = [](const Run& run) { return run.hardware; };
  comparer.differing(members, evaluation_set, WarningKind::unequal_evaluation,
                     "runs were evaluated on unequal sets, so their losses do not compare");
  comparer.differing(members, tokenizer, WarningKind::unequal_evaluation,
                     "runs have different tokenizers, so their losses per token do not compare");
  comparer.differing(members, training_data, WarningKind::unequal_runs,
                     "runs were trained on different data, which is part of what is compared");
  comparer.differing(members, step_size, WarningKind::unequal_runs,
                     "the steps of the runs are of different numbers of tokens, so steps do not compare",
                     CostAxis::steps);
  comparer.differing(
      members, distance_text, WarningKind::unequal_runs,
      "runs are evaluated at different distances, and a curve with more evaluations reaches a loss sooner");
  comparer.blocks(members);
  for (const CostAxis cost : context.costs) {
    for (const std::size_t run : members) comparer.unplaced(run, cost);
    if (cost != CostAxis::seconds && cost != CostAxis::joules) continue;
    comparer.differing(members, hardware, WarningKind::hardware,
                       fmt::format("runs come from different hardware, so {} do not compare", cost_name(cost)), cost);
  }
  comparer.lengths(group.baseline);
  comparer.settings(fmt::format("runs of `{}`", group.baseline.variant), group.baseline.runs);
  for (const Arm& arm : group.arms) {
    comparer.lengths(arm);
    comparer.settings(fmt::format("runs of `{}`", arm.variant), arm.runs);
    if (!arm.a_a || arm.runs.empty()) continue;
    comparer.settings(fmt::format("the baseline and its A/A arm `{}`", arm.variant),
                      {group.baseline.runs.front(), arm.runs.front()});
  }
}

}  // namespace isoloss::ceg
