#include "tools/ceg/input/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "tools/ceg/input/run_reading.h"

namespace isoloss::ceg {
namespace fs = std::filesystem;
namespace {

struct CostText {
  std::string_view name, unit;
};
constexpr std::array<CostText, kCosts> kCostTexts{{{"steps", "steps"},
                                                   {"tokens", "training tokens"},
                                                   {"flops", "training FLOPs"},
                                                   {"flops_6nd", "training FLOPs (6 N D)"},
                                                   {"seconds", "device seconds"},
                                                   {"joules", "joules"}}};

/// What no measurement of a loss or cost goes beyond; its sums, ratios and logarithms all stay finite.
constexpr double kSmallestNumber = 1e-100, kLargestNumber = 1e100;

/// Adds what is read from `place` to the runs, unless it was read already under whatever name.
template <class Read>
void add_once(const fs::path& place, std::set<fs::path>& seen, std::vector<Run>& runs, Read&& read) {
  std::error_code problem;
  const fs::path real = fs::canonical(place, problem);
  if (!seen.insert(problem ? place : real).second) return;  // a pipe has no other name
  std::vector<Run> found = read(place);
  std::move(found.begin(), found.end(), std::back_inserter(runs));
}

std::vector<Run> read_csv(const fs::path& path, CsvLayout layout) {
  const std::string text = read_file_or_pipe(path);
  return layout == CsvLayout::wandb ? read_wandb_runs(text, path) : read_csv_runs(text, path);
}

double step_of(const Point& point) { return *point.cost[static_cast<std::size_t>(CostAxis::steps)]; }

std::string in_words(const Run& run) {
  return fmt::format("variant `{}` scale `{}` seed {}", run.variant, run.scale, run.seed);
}

/// Whether two evaluations of one step are one: the same loss after the same compute. Their times may differ.
bool same_evaluation(const Point& a, const Point& b) {
  return a.val_loss == b.val_loss && std::all_of(kAllCosts.begin(), kAllCosts.end(), [&](CostAxis cost) {
           const auto i = static_cast<std::size_t>(cost);
           return cost == CostAxis::seconds || cost == CostAxis::joules || a.cost[i] == b.cost[i];
         });
}

void take_each_step_once(Run& run, std::string_view where) {
  std::vector<Point> kept;
  std::optional<double> first;
  std::size_t twice = 0;
  for (Point& point : run.points) {
    if (kept.empty() || step_of(kept.back()) != step_of(point)) {
      kept.push_back(std::move(point));
      continue;
    }
    if (!same_evaluation(kept.back(), point)) {
      fail_input(where, fmt::format("each step once for {}", in_words(run)),
                 fmt::format("step {} twice", step_of(point)));
    }
    if (!first) first = step_of(point);
    ++twice;
  }
  run.points = std::move(kept);
  if (first) {
    run.notes.push_back(
        {std::nullopt,
         fmt::format("steps that stand there twice are taken once, {} in all, step {} first", twice, *first)});
  }
}

void check_size(const Run& run, const Point& point, double value, std::string_view what, std::string_view where) {
  const double size = std::abs(value);
  if (size == 0 || (size >= kSmallestNumber && size <= kLargestNumber)) return;
  fail_input(
      where,
      fmt::format("a `{}` that is 0 or between {} and {} for {}", what, kSmallestNumber, kLargestNumber, in_words(run)),
      fmt::format("{} (step {})", value, step_of(point)));
}

/// What a run has spent never falls. A meter starts anew with the process that reads it: its axis is lost, no other. So
/// is one that stands still, which counts something else than what was spent.
void check_cost(Run& run, CostAxis cost, std::string_view where) {
  const auto axis = static_cast<std::size_t>(cost);
  const auto lose = [&](std::string_view how) {
    run.notes.push_back({cost, fmt::format("`{}` {}: this axis is left out", cost_name(cost), how)});
    for (Point& point : run.points) point.cost[axis].reset();
  };
  double first = 0, last = 0;
  std::size_t count = 0;
  for (const Point& point : run.points) {
    if (!point.cost[axis]) continue;
    const double value = *point.cost[axis];
    check_size(run, point, value, cost_name(cost), where);
    if (value >= last) {
      if (count++ == 0) first = value;
      last = value;
      continue;
    }
    const std::string fall = fmt::format("{} after {} (step {})", value, last, step_of(point));
    if (cost == CostAxis::seconds || cost == CostAxis::joules) return lose(fmt::format("fall, {}", fall));
    fail_input(where,
               fmt::format("`{}` that starts at 0 or above and never falls for {}", cost_name(cost), in_words(run)),
               fall);
  }
  if (count > 1 && first == last) lose(fmt::format("stand still at {}", last));
}

}  // namespace

std::string_view cost_name(CostAxis cost) { return kCostTexts[static_cast<std::size_t>(cost)].name; }
std::string_view cost_unit(CostAxis cost) { return kCostTexts[static_cast<std::size_t>(cost)].unit; }

std::optional<CostAxis> cost_from_name(std::string_view name) {
  for (const CostAxis cost : kAllCosts) {
    if (cost_name(cost) == name) return cost;
  }
  return std::nullopt;
}

bool Run::has(CostAxis cost) const {
  return std::any_of(points.begin(), points.end(),
                     [&](const Point& point) { return point.cost[static_cast<std::size_t>(cost)].has_value(); });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

double finite_number(std::string_view text, std::string_view where, std::string_view what) {
  double value = 0;
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  // A number too small for a double is 0 for every purpose here; one too large is not a measurement.
  const bool underflow = problem == std::errc::result_out_of_range && digits.find("e-") != std::string_view::npos;
  const bool whole = end == digits.data() + digits.size();
  if (!whole || !(problem == std::errc() || underflow) || !std::isfinite(value)) {
    const std::string shown(text.substr(0, 40));
    fail_input(where, fmt::format("a finite number for {}", what),
               printable(shown) == shown ? fmt::format("`{}`", shown) : "bytes that are no text");
  }
  return underflow ? 0 : value;
}

void order_points(Run& run, std::string_view where) {
  std::stable_sort(run.points.begin(), run.points.end(),
                   [](const Point& a, const Point& b) { return step_of(a) < step_of(b); });
  take_each_step_once(run, where);
  for (const Point& point : run.points) check_size(run, point, point.val_loss, "val_loss", where);
  for (const CostAxis cost : kAllCosts) check_cost(run, cost, where);
}

std::vector<Run> read_runs(const std::vector<fs::path>& paths, CsvLayout layout) {
  std::vector<Run> runs, planned;
  std::set<fs::path> read;
  for (const fs::path& path : paths) {
    std::error_code problem;
    const fs::file_type type = fs::status(path, problem).type();
    const std::string_view expected = "a run folder, a sweep's folder or a CSV file";
    if (type == fs::file_type::not_found) fail_input(path.string(), expected, "nothing there");
    if (type == fs::file_type::none) fail_input(path.string(), expected, problem.message());
    if (type != fs::file_type::directory) {
      add_once(path, read, runs, [&](const fs::path& file) { return read_csv(file, layout); });
      continue;
    }
    const FoundFolders found = find_folders(path);
    for (const fs::path& folder : found.runs) {
      add_once(folder, read, runs, [](const fs::path& run) { return std::vector<Run>{read_run_folder(run)}; });
    }
    for (const fs::path& sweep : found.sweeps) add_once(sweep, read, planned, read_plan);
  }
  std::map<std::tuple<std::string, std::string, std::int64_t>, fs::path> seen;
  for (const Run& run : runs) {
    const auto [first, is_new] = seen.try_emplace({run.variant, run.scale, run.seed}, run.source);
    if (is_new) continue;
    fail_input(run.source.string(), "one run for each variant, scale and seed",
               fmt::format("{} a second time, after {}", in_words(run), first->second.string()));
  }
  for (Run& run : planned) {
    if (!seen.try_emplace({run.variant, run.scale, run.seed}, run.source).second) continue;
    run.status = "planned";
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace isoloss::ceg
