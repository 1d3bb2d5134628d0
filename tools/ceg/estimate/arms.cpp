#include "tools/ceg/estimate/arms.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "kernels/base/error.h"

namespace isoloss::ceg {
namespace {

double whole_compute(const Run& run) {
  for (const CostAxis cost : {CostAxis::flops, CostAxis::flops_6nd, CostAxis::tokens, CostAxis::steps}) {
    for (auto point = run.points.rbegin(); point != run.points.rend(); ++point) {
      if (const auto& value = point->cost[static_cast<std::size_t>(cost)]) return *value;
    }
  }
  return 0;
}

template <class T>
void add_once(std::vector<T>& values, const T& value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

Arm make_arm(const std::vector<Run>& runs, const std::string& variant, const std::string& scale,
             const std::string& baseline) {
  Arm arm;
  arm.variant = variant;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].variant == variant && runs[i].scale == scale) (runs[i].failed ? arm.failed : arm.runs).push_back(i);
  }
  const auto by_seed = [&](std::size_t a, std::size_t b) { return runs[a].seed < runs[b].seed; };
  std::sort(arm.runs.begin(), arm.runs.end(), by_seed);
  std::sort(arm.failed.begin(), arm.failed.end(), by_seed);
  for (const std::size_t run : arm.runs) arm.seeds.push_back(runs[run].seed);
  if (arm.empty()) return arm;
  arm.variant_class = runs[arm.any_run()].variant_class;
  arm.a_a = is_a_a(runs[arm.any_run()], baseline);
  return arm;
}

/// Gives what the runs of a variant tell in `member` to those that tell nothing; throws where two tell different
/// things.
template <class T, class Told>
void agree(std::vector<Run>& runs, T Run::*member, const Told& told) {
  std::map<std::string, const Run*> first;
  for (const Run& run : runs) {
    if ((run.*member).empty()) continue;
    const Run& other = *first.try_emplace(run.variant, &run).first->second;
    if (run.*member == other.*member) continue;
    fail_input(run.source.string(),
               fmt::format("{} for variant `{}`, as in {}", told(other.*member), run.variant, other.source.string()),
               told(run.*member));
  }
  for (Run& run : runs) {
    if (const auto found = first.find(run.variant); found != first.end()) run.*member = found->second->*member;
  }
}

}  // namespace

void agree_on_variants(std::vector<Run>& runs) {
  agree(runs, &Run::variant_class, [](const std::string& name) { return fmt::format("class `{}`", name); });
  agree(runs, &Run::parts,
        [](const std::vector<std::string>& parts) { return fmt::format("parts `{}`", fmt::join(parts, "; ")); });
}

bool is_a_a(const Run& run, const std::string& baseline) {
  if (run.variant == baseline) return false;
  return run.variant_class == "baseline" || run.variant.find("A/A") != std::string::npos;
}

bool fully_paired(const Arm& a, const Arm& b) { return a.seeds == b.seeds; }

int common_seeds(const Arm& a, const Arm& b) {
  return static_cast<int>(std::count_if(a.seeds.begin(), a.seeds.end(), [&](std::int64_t seed) {
    return std::find(b.seeds.begin(), b.seeds.end(), seed) != b.seeds.end();
  }));
}

void for_each_seed(const Arm& baseline, const Arm& arm,
                   const std::function<void(std::optional<std::size_t>, std::optional<std::size_t>)>& visit) {
  const auto index_in = [](const std::vector<std::int64_t>& seeds, std::int64_t seed) {
    const auto found = std::find(seeds.begin(), seeds.end(), seed);
    return found == seeds.end() ? std::optional<std::size_t>() : static_cast<std::size_t>(found - seeds.begin());
  };
  for (std::size_t v = 0; v < arm.seeds.size(); ++v) visit(index_in(baseline.seeds, arm.seeds[v]), v);
  for (std::size_t b = 0; b < baseline.seeds.size(); ++b) {
    if (!index_in(arm.seeds, baseline.seeds[b])) visit(b, std::nullopt);
  }
}

std::vector<ScaleGroup> group_runs(const std::vector<Run>& runs, const std::string& baseline,
                                   std::vector<Warning>& warnings) {
  std::vector<std::string> scales, variants;
  for (const Run& run : runs) add_once(scales, run.scale), add_once(variants, run.variant);
  if (std::find(variants.begin(), variants.end(), baseline) == variants.end()) {
    fail_input("--baseline", fmt::format("one of {}", fmt::join(variants, ", ")),
               baseline.empty() ? "nothing" : baseline);
  }
  std::vector<ScaleGroup> groups;
  for (const std::string& scale : scales) {
    ScaleGroup group;
    group.name = scale;
    group.baseline = make_arm(runs, baseline, scale, baseline);
    if (group.baseline.runs.empty()) {
      warnings.push_back(
          {WarningKind::missing, std::nullopt,
           fmt::format("scale `{}` has no run of the baseline `{}`{} and is left out", scale, baseline,
                       group.baseline.failed.empty() ? "" : " that did not diverge before its loss fell")});
      continue;
    }
    for (const std::size_t run : group.baseline.runs) group.compute = std::max(group.compute, whole_compute(runs[run]));
    for (const std::string& variant : variants) {
      if (variant == baseline) continue;
      Arm arm = make_arm(runs, variant, scale, baseline);
      if (!arm.empty()) {
        group.arms.push_back(std::move(arm));
      } else if (scales.size() > 1) {
        warnings.push_back({WarningKind::missing, std::nullopt,
                            fmt::format("variant `{}` was not run at scale `{}`", variant, scale)});
      }
    }
    std::stable_partition(group.arms.begin(), group.arms.end(), [](const Arm& arm) { return !arm.a_a; });
    groups.push_back(std::move(group));
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const ScaleGroup& a, const ScaleGroup& b) { return a.compute < b.compute; });
  if (std::all_of(groups.begin(), groups.end(), [](const ScaleGroup& group) { return group.arms.empty(); })) {
    fail_input("PATH", fmt::format("runs of another variant beside `{}`", baseline), "none");
  }
  return groups;
}

}  // namespace isoloss::ceg
