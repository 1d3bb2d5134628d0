// The analysis as a list of small tables: what the text, Markdown and LaTeX outputs have in common.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg {

enum class Align { left, right };
struct Column {
  std::string name;
  Align align = Align::left;
};

/// A point with an interval, for a drawing on a log axis.
struct Bar {
  double centre = 1;
  std::optional<Interval> interval;
};

enum class Tone { plain, gain, loss, dim };

struct SectionRow {
  std::vector<std::string> cells;
  std::optional<Bar> bar;
  Tone tone = Tone::plain;
};

struct Section {
  std::string title;
  std::vector<std::string> notes;  ///< sentences under the title
  std::vector<Column> columns;
  std::vector<SectionRow> rows;
};

/// What was compared, in one line.
std::string headline(const Analysis& analysis);

/// Tables of everything the analysis holds for the axes shown; empty ones are left out.
std::vector<Section> sections(const Analysis& analysis);

std::string interval_text(const std::optional<Interval>& interval);  ///< "1.31 – 1.54"; "" when absent

}  // namespace isoloss::ceg
