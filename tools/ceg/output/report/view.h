// The analysis as the page looks at it: which look a variant has everywhere, and what belongs to one panel.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ceg/estimate/analysis.h"
#include "tools/ceg/output/report/svg.h"

namespace isoloss::ceg::report {

/// How one variant is drawn in every chart: told apart by colour, by shape and by dashes.
struct Look {
  std::string colour;  ///< class of the style sheet
  Shape shape = Shape::circle;
  std::string_view dash;
};

/// Where a row stands against the noise floor of its scale.
enum class Standing { above, below, within, unknown };

/// How much of the loss curves a chart shows: enough to see them come, or what lies near the crossings.
enum class Zoom { overview, close };

/// The part of the loss curves that a chart shows. Losses above `loss_high` and costs below `cost_low` are cut off.
struct Window {
  double cost_low = 0, cost_high = 0, loss_low = 0, loss_high = 0;
};

/// A footnote to published values: source and what to know about it.
struct Note {
  std::string source, flag;
};

class View {
 public:
  explicit View(const Analysis& analysis) : analysis_(analysis) {}

  const Analysis& analysis() const { return analysis_; }
  const std::string& baseline() const { return analysis_.options.baseline; }
  /// The axis shown first: the one asked for, else training FLOPs, else the first.
  CostAxis first_cost() const;
  /// Everything but the baseline that has a row on this axis, in the analysis' order.
  std::vector<std::string> compared(CostAxis cost) const;
  /// Scales that have rows on this axis, in the analysis' order.
  std::vector<std::string> scales(CostAxis cost) const;

  Look look(std::string_view variant) const;
  const Row* row(CostAxis cost, std::string_view scale, std::string_view variant) const;
  std::optional<Interval> floor(CostAxis cost, std::string_view scale) const;
  std::vector<const Curve*> curves(CostAxis cost, std::string_view scale, std::string_view variant) const;
  const ThresholdSweep* thresholds(CostAxis cost, std::string_view scale, std::string_view variant) const;
  /// The loss that curves of this scale are compared at, where all rows agree on one.
  std::optional<double> target(CostAxis cost, std::string_view scale) const;
  Standing standing(const Row& row) const;
  /// Whether the method gives intervals and costs on this page's axes; `paper` has neither, it counts evaluations.
  bool has_crossings() const { return analysis_.options.method != Method::paper; }
  Window window(CostAxis cost, std::string_view scale, Zoom zoom) const;
  /// Costs between which a crossing of the target is within the noise floor of the baseline's.
  std::optional<Interval> noise_costs(CostAxis cost, std::string_view scale) const;

  /// Footnotes of all published values beside the variants of this analysis, each once, in order of appearance.
  std::vector<Note> notes() const;
  /// Number of a value's footnote, from 1.
  static std::size_t note_number(const std::vector<Note>& notes, const Published& value);

 private:
  const Analysis& analysis_;
};

/// Geometric mean over the seeds of one side's crossing; absent where a row has no seeds.
std::optional<double> mean_crossing(const Row& row, double SeedResult::*side);
/// The value of a row that a chart marks: its CEG, else its auxiliary CEG.
std::optional<double> marked_value(const Row& row);
std::optional<Interval> marked_interval(const Row& row);
/// "≥ 1.84", a dash where nothing is known.
std::string bound_text(const std::optional<Bound>& bound);
/// "1.84 (1.71 – 1.98)", or "not reached, ≤ 0.61" with the auxiliary CEG.
std::string row_text(const Row& row);

}  // namespace isoloss::ceg::report
