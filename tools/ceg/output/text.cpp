// The table that a person reads on a terminal: aligned columns, intervals drawn on a log axis where there is room.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/ceg/output/output.h"
#include "tools/ceg/output/sections.h"

namespace isoloss::ceg {
namespace {

constexpr int kNarrowestBar = 20, kWidestBar = 44;

/// Columns that UTF-8 text takes on a terminal, each character counted as one.
std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width, Align align) {
  const std::size_t used = columns_of(text);
  const std::string blanks(used < width ? width - used : 0, ' ');
  return align == Align::right ? blanks + text : text + blanks;
}

std::string painted(const std::string& text, std::string_view code, bool colour) {
  return colour && !text.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

std::string_view code_of(Tone tone) {
  switch (tone) {
    case Tone::gain:
      return "32";
    case Tone::loss:
      return "31";
    case Tone::dim:
      return "2";
    case Tone::plain:
      break;
  }
  return "0";
}

/// A log axis of `width` characters that holds 1 and every centre. Intervals count up to a factor of 3 beyond the
/// outermost centre: what goes further is cut, so that one hopeless row does not squeeze the others.
class Axis {
 public:
  Axis(const std::vector<SectionRow>& rows, int width) : width_(width) {
    double low = 1, high = 1;
    for (const SectionRow& row : rows) {
      if (row.bar) low = std::min(low, row.bar->centre), high = std::max(high, row.bar->centre);
    }
    const double low_limit = low / 3, high_limit = high * 3;
    for (const SectionRow& row : rows) {
      if (!row.bar || !row.bar->interval) continue;
      low = std::min(low, std::max(row.bar->interval->low, low_limit));
      high = std::max(high, std::min(row.bar->interval->high, high_limit));
    }
    low_ = std::log(low) - 0.02, high_ = std::log(high) + 0.02;
  }

  std::string bar(const Bar& bar) const {
    std::vector<std::string> cells(static_cast<std::size_t>(width_), " ");
    cells[at(1)] = "┊";
    if (bar.interval) {
      const std::size_t begin = at(bar.interval->low), end = at(bar.interval->high);
      for (std::size_t i = begin; i <= end; ++i) cells[i] = "─";
      cells[begin] = std::log(bar.interval->low) < low_ ? "‹" : "├";
      cells[end] = std::log(bar.interval->high) > high_ ? "›" : "┤";
    }
    cells[at(bar.centre)] = "●";
    return joined(cells);
  }

  /// Tick labels at 1, 2 and 5 times powers of ten, those that do not touch each other.
  std::string ticks() const {
    std::vector<std::string> cells(static_cast<std::size_t>(width_), " ");
    std::vector<double> values{1};
    for (int power = -6; power <= 6; ++power) {
      for (const double digit : {1.0, 2.0, 5.0}) values.push_back(digit * std::pow(10.0, power));
    }
    for (const double value : {0.8, 0.9, 1.1, 1.25, 1.5}) values.push_back(value);
    for (const double value : values) {
      if (std::log(value) < low_ || std::log(value) > high_) continue;
      const std::string label = fmt::format("{:g}", value);
      const std::size_t begin = std::min(at(value), cells.size() - std::min(cells.size(), label.size()));
      const std::size_t from = begin == 0 ? 0 : begin - 1, to = std::min(begin + label.size() + 1, cells.size());
      bool free = true;
      for (std::size_t i = from; i < to; ++i) free = free && cells[i] == " ";
      for (std::size_t i = 0; free && i < label.size(); ++i) cells[begin + i] = label.substr(i, 1);
    }
    return joined(cells);
  }

 private:
  std::size_t at(double value) const {
    const double share = (std::log(value) - low_) / (high_ - low_);
    return static_cast<std::size_t>(std::clamp(std::lround(share * (width_ - 1)), 0L, width_ - 1L));
  }
  static std::string joined(const std::vector<std::string>& cells) {
    std::string text;
    for (const std::string& cell : cells) text += cell;
    return text;
  }
  double low_ = 0, high_ = 0;
  int width_;
};

/// Without what only the end of a line holds: blanks.
void close_line(std::string& out) {
  while (!out.empty() && out.back() == ' ') out.pop_back();
  out += '\n';
}

void append_section(std::string& out, const Section& section, const TextStyle& style) {
  out += fmt::format("\n{}\n", painted(section.title, "1", style.colour));
  for (const std::string& note : section.notes)
    out += fmt::format("{}\n", painted(fmt::format("  {}", note), "2", style.colour));

  // The last column without a name is a remark: it follows the bars and does not count for their room.
  const bool remark = section.columns.back().name.empty();
  const std::size_t plain = section.columns.size() - (remark ? 1 : 0);
  std::vector<std::size_t> widths;
  std::size_t used = 2;
  for (std::size_t i = 0; i < plain; ++i) {
    std::size_t width = columns_of(section.columns[i].name);
    for (const SectionRow& row : section.rows) width = std::max(width, columns_of(row.cells[i]));
    const bool empty = std::all_of(section.rows.begin(), section.rows.end(),
                                   [&](const SectionRow& row) { return row.cells[i].empty(); });
    widths.push_back(empty ? 0 : width);
    used += empty ? 0 : width + 2;
  }
  const bool any_bar =
      std::any_of(section.rows.begin(), section.rows.end(), [](const SectionRow& row) { return row.bar.has_value(); });
  const int room = style.width - static_cast<int>(used);
  const int bar_width = any_bar && room >= kNarrowestBar ? std::min(room, kWidestBar) : 0;
  const Axis axis(section.rows, std::max(bar_width, 1));

  std::string line = "  ";
  for (std::size_t i = 0; i < plain; ++i) {
    if (widths[i]) line += padded(section.columns[i].name, widths[i], section.columns[i].align) + "  ";
  }
  if (bar_width) line += axis.ticks();
  close_line(line);
  out += fmt::format("{}\n", painted(line.substr(0, line.size() - 1), "2", style.colour));

  for (const SectionRow& row : section.rows) {
    line = "  ";
    for (std::size_t i = 0; i < plain; ++i) {
      if (widths[i]) line += padded(row.cells[i], widths[i], section.columns[i].align) + "  ";
    }
    const std::string note = remark ? row.cells.back() : "";
    if (bar_width && row.bar) {
      line += axis.bar(*row.bar);
      if (!note.empty()) line += "  ";
    }
    line += note;
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += fmt::format("{}\n", row.tone == Tone::plain ? line : painted(line, code_of(row.tone), style.colour));
  }
}

}  // namespace

std::string as_text(const Analysis& analysis, const TextStyle& style) {
  std::string out = fmt::format("{}\n", painted(headline(analysis), "1", style.colour));
  for (const Section& section : sections(analysis)) append_section(out, section, style);
  bool first = true;
  for (const Warning& warning : analysis.warnings) {
    if (!analysis.shows(warning)) continue;
    if (first) out += fmt::format("\n{}\n", painted("warnings", "1;33", style.colour));
    out += fmt::format("  {} {}\n", painted("!", "33", style.colour), warning.text);
    first = false;
  }
  return out;
}

}  // namespace isoloss::ceg
