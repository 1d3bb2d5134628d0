#include "tools/ceg/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <tuple>

#include "kernels/core/error.h"
#include "kernels/core/file.h"
#include "tools/ceg/run_reading.h"

namespace isoloss {
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

/// Whether the bytes are well-formed UTF-8 without control characters (RFC 3629).
bool is_printable_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x20 || lead == 0x7F) return false;
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return false;
    std::uint32_t code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if (next >> 6 != 2) return false;
      code = code << 6 | (next & 0x3Fu);
    }
    constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool c1_control = code >= 0x80 && code < 0xA0;
    if (code < kSmallest[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) || c1_control) return false;
    i += length;
  }
  return true;
}

void add_folder(const fs::path& path, std::vector<Run>& runs) {
  if (fs::exists(path / "manifest.json")) {
    runs.push_back(read_run_folder(path));
    return;
  }
  std::vector<fs::path> found;
  std::error_code problem;
  fs::recursive_directory_iterator walk(path, problem);
  if (problem) fail_input(path.string(), "a folder that can be read", problem.message());
  for (auto entry = fs::begin(walk); entry != fs::end(walk); entry.increment(problem)) {
    if (problem) fail_input(path.string(), "folders that can be read", problem.message());
    const fs::path& place = entry->path();
    if (place.filename() == "manifest.json") found.push_back(place.parent_path());
    // What a sweep tried on its way to a learning rate is no measurement of the variant.
    if (place.filename() == "tuning" && fs::exists(place.parent_path() / "sweep.json"))
      entry.disable_recursion_pending();
  }
  if (found.empty()) fail_input(path.string(), "run folders (with a manifest.json) below it", "none");
  std::sort(found.begin(), found.end());
  for (const fs::path& folder : found) runs.push_back(read_run_folder(folder));
}

void add_csv(const fs::path& path, CsvLayout layout, std::vector<Run>& runs) {
  const std::string text = read_file_or_pipe(path);
  auto read = layout == CsvLayout::wandb ? read_wandb_runs(text, path) : read_csv_runs(text, path);
  std::move(read.begin(), read.end(), std::back_inserter(runs));
}

}  // namespace

std::string_view cost_name(Cost cost) { return kCostTexts[static_cast<std::size_t>(cost)].name; }
std::string_view cost_unit(Cost cost) { return kCostTexts[static_cast<std::size_t>(cost)].unit; }

std::optional<Cost> cost_from_name(std::string_view name) {
  for (const Cost cost : kAllCosts) {
    if (cost_name(cost) == name) return cost;
  }
  return std::nullopt;
}

bool Run::has(Cost cost) const {
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
               is_printable_utf8(shown) ? fmt::format("`{}`", shown) : "bytes that are no text");
  }
  return underflow ? 0 : value;
}

void check_name(std::string_view name, std::string_view where, std::string_view what) {
  if (name.empty()) fail_input(where, fmt::format("a name for the {}", what), "nothing");
  if (name.size() > 200)
    fail_input(where, fmt::format("at most 200 bytes for the {}", what), fmt::format("{}", name.size()));
  if (!is_printable_utf8(name)) {
    fail_input(where, fmt::format("UTF-8 without control characters for the {}", what), "other bytes");
  }
}

void order_points(Run& run, std::string_view where) {
  const auto step = [](const Point& point) { return *point.cost[static_cast<std::size_t>(Cost::steps)]; };
  std::stable_sort(run.points.begin(), run.points.end(),
                   [&](const Point& a, const Point& b) { return step(a) < step(b); });
  const auto described = [&] {
    return fmt::format("variant `{}` scale `{}` seed {}", run.variant, run.scale, run.seed);
  };
  for (std::size_t i = 1; i < run.points.size(); ++i) {
    if (step(run.points[i]) == step(run.points[i - 1])) {
      fail_input(where, fmt::format("each step once for {}", described()),
                 fmt::format("step {} twice", step(run.points[i])));
    }
  }
  const auto measured = [&](const Point& point, double value, std::string_view what) {
    const double size = std::abs(value);
    if (size == 0 || (size >= kSmallestNumber && size <= kLargestNumber)) return;
    fail_input(
        where,
        fmt::format("a `{}` that is 0 or between {} and {} for {}", what, kSmallestNumber, kLargestNumber, described()),
        fmt::format("{} (step {})", value, step(point)));
  };
  for (const Point& point : run.points) measured(point, point.val_loss, "val_loss");
  for (const Cost cost : kAllCosts) {
    double last = 0;
    for (const Point& point : run.points) {
      const auto& value = point.cost[static_cast<std::size_t>(cost)];
      if (!value) continue;
      measured(point, *value, cost_name(cost));
      if (*value < last) {
        fail_input(where,
                   fmt::format("`{}` that starts at 0 or above and never falls for {}", cost_name(cost), described()),
                   fmt::format("{} after {} (step {})", *value, last, step(point)));
      }
      last = *value;
    }
  }
}

std::vector<Run> read_runs(const std::vector<fs::path>& paths, CsvLayout layout) {
  std::vector<Run> runs;
  for (const fs::path& path : paths) {
    if (!fs::exists(path)) fail_input(path.string(), "a run folder, a sweep's folder or a CSV file", "nothing there");
    if (fs::is_directory(path)) {
      add_folder(path, runs);
    } else {
      add_csv(path, layout, runs);
    }
  }
  std::set<std::tuple<std::string, std::string, std::int64_t>> seen;
  for (const Run& run : runs) {
    if (!seen.emplace(run.variant, run.scale, run.seed).second) {
      fail_input(run.source.string(), "one run for each variant, scale and seed",
                 fmt::format("variant `{}` scale `{}` seed {} a second time", run.variant, run.scale, run.seed));
    }
  }
  return runs;
}

}  // namespace isoloss
