// The face of the library: loss curves in, an analysis, and its outputs. Nothing of the training engine is in it.
//
//   const std::vector<Run> runs = read_runs({"runs/demo"}, CsvLayout::isoloss);
//   const Analysis analysis = analyse(runs, {.baseline = "baseline", .cost = CostAxis::flops});
//   fmt::print("{}", text_of(analysis, Format::json));
//   write_report(analysis, "runs/demo/report");
//
// The rooms behind it, each of which uses those before it: input/ reads curves, estimate/ compares them, output/ says
// it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/ceg/estimate/analysis.h"
#include "tools/ceg/input/curves.h"
#include "tools/ceg/output/output.h"
#include "tools/ceg/output/report/report.h"

namespace isoloss::ceg {

enum class Format { text, markdown, csv, json, latex };

/// As on the command line: "markdown"; nothing for another name.
std::optional<Format> format_from_name(std::string_view name);

/// The analysis in that format, ends with a line break. `style` is for Format::text.
std::string text_of(const Analysis& analysis, Format format, const TextStyle& style = {});

}  // namespace isoloss::ceg
