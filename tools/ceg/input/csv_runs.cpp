// Runs from CSV files: this project's layout, one line per evaluation, and W&B's, one column per run. Files of one run,
// as loggers write them, have the project's layout without a column `variant`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <tuple>

#include "kernels/base/error.h"
#include "kernels/base/name.h"
#include "tools/ceg/input/csv.h"
#include "tools/ceg/input/curves.h"
#include "tools/ceg/input/run_reading.h"

namespace isoloss::ceg {
namespace {

/// Column names in order; throws where one occurs twice or the file is empty.
std::vector<std::string> read_header(CsvReader& reader) {
  CsvRow row;
  if (!reader.next(row)) fail_input(reader.name(), "a header line", "an empty file");
  std::map<std::string, int, std::less<>> seen;
  for (std::string& cell : row.cells) {
    cell = std::string(trimmed(cell));
    if (!cell.empty() && ++seen[cell] > 1) {
      check_name(cell, reader.where(row.line), "column");
      fail_input(reader.where(row.line), "each column once", fmt::format("`{}` twice", cell));
    }
  }
  return row.cells;
}

void check_width(const CsvReader& reader, const CsvRow& row, std::size_t columns) {
  if (row.cells.size() != columns) {
    fail_input(reader.where(row.line), fmt::format("{} cells as in the header", columns),
               fmt::format("{}", row.cells.size()));
  }
}

std::vector<std::string> split_parts(std::string_view text, std::string_view where) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(';'), text.size());
    const std::string_view part = trimmed(text.substr(0, end));
    check_name(part, where, "part");
    if (std::find(parts.begin(), parts.end(), part) != parts.end()) {
      fail_input(where, "each part once", fmt::format("`{}` twice", part));
    }
    parts.emplace_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// Also `3.0`: what pandas writes for a column of whole numbers in which a cell is empty.
std::int64_t whole_number(std::string_view text, std::string_view where, std::string_view what) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc() && end == text.data() + text.size()) return value;
  const double number = finite_number(text, where, what);
  constexpr double kExact = 9007199254740992;  // 2^53: up to here a double tells whole numbers apart
  if (number != std::floor(number) || std::abs(number) > kExact) {
    fail_input(where, fmt::format("a whole number for {}", what), fmt::format("`{}`", text.substr(0, 40)));
  }
  return static_cast<std::int64_t>(number);
}

/// The columns of one file, and what its header says about how it was written.
struct Layout {
  std::size_t step = 0, val_loss = 0;
  std::optional<std::size_t> variant, scale, seed, variant_class, parts;
  std::array<std::optional<std::size_t>, kCosts> costs;
  double first_step = 0;     ///< what the writer calls the state before the first update
  bool tensorboard = false;  ///< a download: one run, named by the file
};

/// The name of a file that holds one run: TensorBoard's downloads say `run-NAME-tag-METRIC.csv`, Lightning writes
/// `NAME/version_0/metrics.csv`, litgpt `NAME/logs/csv/version_0/metrics.csv`.
std::string run_name_of(const std::filesystem::path& file, bool tensorboard) {
  const std::filesystem::path place = std::filesystem::absolute(file).lexically_normal();
  std::string name = place.stem().string();
  const std::size_t tag = name.rfind("-tag-");
  if (tensorboard && name.starts_with("run-") && tag != std::string::npos) {
    const std::string metric = name.substr(tag + 5);
    if (metric.find("val") == std::string::npos || metric.find("loss") == std::string::npos) {
      fail_input(file.string(), "a validation loss after `-tag-`", metric);
    }
    return name.substr(4, tag - 4);
  }
  if (place.filename() == "metrics.csv" && place.parent_path().filename().string().starts_with("version_")) {
    std::filesystem::path run = place.parent_path().parent_path();
    for (const char* above : {"csv", "logs"}) {
      if (run.filename() == above) run = run.parent_path();
    }
    name = run.filename().string();
  }
  return name;
}

Layout layout_of(const std::vector<std::string>& header, const CsvReader& reader) {
  const auto column = [&](std::string_view wanted) -> std::optional<std::size_t> {
    const auto found = std::find(header.begin(), header.end(), wanted);
    return found == header.end() ? std::nullopt : std::optional<std::size_t>(found - header.begin());
  };
  const auto needed = [&](std::string_view wanted) {
    const auto found = column(wanted);
    if (!found) {
      fail_input(reader.where(1), fmt::format("a column `{}`", wanted), fmt::format("`{}`", fmt::join(header, ",")));
    }
    return *found;
  };
  Layout layout;
  if (header == std::vector<std::string>{"Wall time", "Step", "Value"}) {
    layout.step = 1, layout.val_loss = 2, layout.tensorboard = true;
    return layout;
  }
  layout.variant = column("variant");
  layout.step = needed("step"), layout.val_loss = needed("val_loss");
  layout.scale = column("scale"), layout.seed = column("seed");
  layout.variant_class = column("class"), layout.parts = column("parts");
  for (const CostAxis cost :
       {CostAxis::tokens, CostAxis::flops, CostAxis::flops_6nd, CostAxis::seconds, CostAxis::joules}) {
    layout.costs[static_cast<std::size_t>(cost)] = column(cost_name(cost));
  }
  // Lightning counts its steps from 0: the one it calls 0 is the first update.
  if (!layout.variant && column("epoch")) layout.first_step = -1;
  return layout;
}

/// A file without a `variant` is one run: names in it would be those of several.
void check_alone(const CsvReader& reader, const CsvRow& row, const std::vector<std::string>& header,
                 const Layout& layout) {
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    const std::string_view cell = trimmed(row.cells[i]);
    double number = 0;
    const auto [end, problem] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
    if (cell.empty() || end == cell.data() + cell.size()) continue;
    if (i == layout.scale || i == layout.variant_class || i == layout.parts) continue;
    if (i == layout.step || i == layout.val_loss || i == layout.seed) continue;  // named where they are read
    check_name(cell, reader.where(row.line), "cell");
    check_name(header[i], reader.where(1), "column");
    fail_input(reader.where(row.line), "a column `variant` where a file holds names",
               fmt::format("`{}` in column `{}`", cell, header[i]));
  }
}

}  // namespace

std::int64_t cut_seed(std::string& name) {
  const std::size_t digits = name.find_last_not_of("0123456789");
  if (digits == std::string::npos || digits + 1 == name.size() || name.size() - digits > 18) return 0;
  const std::string_view front = std::string_view(name).substr(0, digits + 1);
  for (const std::string_view tail : {"-seed", "_seed", "-s", "_s"}) {
    if (!front.ends_with(tail) || front.size() == tail.size()) continue;
    const std::int64_t seed = whole_number(std::string_view(name).substr(digits + 1), name, "the seed");
    name.resize(front.size() - tail.size());
    return seed;
  }
  return 0;
}

std::vector<Run> read_csv_runs(std::string_view text, const std::filesystem::path& name) {
  CsvReader reader(text, name.string());
  const std::vector<std::string> header = read_header(reader);
  const Layout layout = layout_of(header, reader);
  Run alone;  // the run of a file that names none
  if (!layout.variant) {
    alone.variant = run_name_of(name, layout.tensorboard);
    if (!layout.seed) alone.seed = cut_seed(alone.variant);
  }
  if (layout.first_step != 0) {
    alone.notes.push_back({std::nullopt, "the file counts steps from 0, as Lightning does: step + 1 is taken"});
  }

  std::vector<Run> runs;
  std::map<std::pair<std::string, std::string>, bool> tells_seed;
  std::map<std::tuple<std::string, std::string, std::int64_t>, std::size_t> index;
  CsvRow row;
  while (reader.next(row)) {
    check_width(reader, row, header.size());
    const std::string where = reader.where(row.line);
    const auto text_of = [&](std::optional<std::size_t> at) {
      return at ? trimmed(row.cells[*at]) : std::string_view();
    };
    if (!layout.variant) check_alone(reader, row, header, layout);
    const std::string_view loss_text = text_of(layout.val_loss);
    if (loss_text.empty()) continue;
    Point point;
    point.val_loss = finite_number(loss_text, where, "val_loss");
    point.cost[0] = finite_number(text_of(layout.step), where, "step") - layout.first_step;
    for (const CostAxis cost : kAllCosts) {
      const auto axis = static_cast<std::size_t>(cost);
      const std::string_view cell = text_of(layout.costs[axis]);
      if (!cell.empty()) point.cost[axis] = finite_number(cell, where, cost_name(cost));
    }
    Run run = alone;
    if (layout.variant) run.variant = text_of(layout.variant);
    check_name(run.variant, where, "variant");
    if (const std::string_view cell = text_of(layout.scale); !cell.empty()) run.scale = cell;
    check_name(run.scale, where, "scale");
    if (const std::string_view cell = text_of(layout.seed); !cell.empty()) run.seed = whole_number(cell, where, "seed");
    run.variant_class = text_of(layout.variant_class);
    if (!run.variant_class.empty()) check_name(run.variant_class, where, "class");
    run.parts = split_parts(text_of(layout.parts), where);
    run.source = name;

    if (layout.seed) {
      const bool told = !text_of(layout.seed).empty();
      if (tells_seed.try_emplace({run.variant, run.scale}, told).first->second != told) {
        fail_input(where,
                   fmt::format("a seed in every row of variant `{}` scale `{}`, or in none", run.variant, run.scale),
                   told ? "the first" : "none");
      }
    }
    const auto [entry, fresh] = index.try_emplace({run.variant, run.scale, run.seed}, runs.size());
    if (fresh) {
      runs.push_back(std::move(run));
    } else if (runs[entry->second].variant_class != run.variant_class || runs[entry->second].parts != run.parts) {
      fail_input(where, fmt::format("one class and one list of parts for variant `{}`", run.variant), "another");
    }
    runs[entry->second].points.push_back(std::move(point));
  }
  if (runs.empty()) fail_input(name.string(), "at least one line with a val_loss", "none");
  for (Run& run : runs) order_points(run, name.string());
  return runs;
}

std::vector<Run> read_wandb_runs(std::string_view text, const std::filesystem::path& name) {
  CsvReader reader(text, name.string());
  const std::vector<std::string> header = read_header(reader);
  constexpr std::string_view tail = " - val/loss";
  std::optional<std::size_t> step;
  std::vector<std::pair<std::size_t, Run>> columns;
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (header[i] == "Step") step = i;
    if (!header[i].ends_with(tail)) continue;
    Run run;
    run.variant = trimmed(std::string_view(header[i]).substr(0, header[i].size() - tail.size()));
    run.seed = cut_seed(run.variant);
    check_name(run.variant, reader.where(1), "run");
    run.source = name;
    columns.emplace_back(i, std::move(run));
  }
  if (!step) fail_input(reader.where(1), "a column `Step`", "none");
  if (columns.empty()) fail_input(reader.where(1), "columns named `… - val/loss`", "none");

  CsvRow row;
  while (reader.next(row)) {
    check_width(reader, row, header.size());
    const std::string where = reader.where(row.line);
    for (auto& [at, run] : columns) {
      const std::string_view cell = trimmed(row.cells[at]);
      if (cell.empty()) continue;
      Point point;
      point.val_loss = finite_number(cell, where, "val/loss of `" + run.variant + "`");
      point.cost[0] = finite_number(trimmed(row.cells[*step]), where, "Step");
      run.points.push_back(std::move(point));
    }
  }
  std::vector<Run> runs;
  for (auto& [at, run] : columns) {
    if (run.points.empty()) continue;
    order_points(run, name.string());
    runs.push_back(std::move(run));
  }
  if (runs.empty()) fail_input(name.string(), "at least one loss", "none");
  return runs;
}

}  // namespace isoloss::ceg
