#include "tools/ceg/output/report/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/ceg/output/report/numbers.h"

namespace isoloss::ceg::report {

CostAxis View::first_cost() const {
  const auto& costs = analysis_.costs;
  const CostAxis wanted = analysis_.options.cost.value_or(CostAxis::flops);
  if (costs.empty() || std::find(costs.begin(), costs.end(), wanted) != costs.end()) return wanted;
  return costs.front();
}

std::vector<std::string> View::compared(CostAxis cost) const {
  std::vector<std::string> names;
  for (const std::string& variant : analysis_.variants) {
    const bool has_row = std::any_of(analysis_.rows.begin(), analysis_.rows.end(),
                                     [&](const Row& row) { return row.cost == cost && row.variant == variant; });
    if (has_row && variant != baseline()) names.push_back(variant);
  }
  return names;
}

std::vector<std::string> View::scales(CostAxis cost) const {
  std::vector<std::string> names;
  for (const std::string& scale : analysis_.scales) {
    const bool has_row = std::any_of(analysis_.rows.begin(), analysis_.rows.end(),
                                     [&](const Row& row) { return row.cost == cost && row.scale == scale; });
    if (has_row) names.push_back(scale);
  }
  return names;
}

Look View::look(std::string_view variant) const {
  if (variant == baseline()) return {"base", Shape::circle, ""};
  const auto& names = analysis_.variants;
  std::size_t index = 0;
  for (const std::string& name : names) {
    if (name == variant) break;
    if (name != baseline()) ++index;
  }
  const bool a_a = std::any_of(analysis_.rows.begin(), analysis_.rows.end(),
                               [&](const Row& row) { return row.a_a && row.variant == variant; });
  return {a_a ? "again" : colour_of(index), shape_of(index), dash_of(index)};
}

const Row* View::row(CostAxis cost, std::string_view scale, std::string_view variant) const {
  for (const Row& row : analysis_.rows) {
    if (row.cost == cost && row.scale == scale && row.variant == variant) return &row;
  }
  return nullptr;
}

std::optional<Interval> View::floor(CostAxis cost, std::string_view scale) const {
  for (const NoiseFloor& floor : analysis_.noise_floor) {
    if (floor.cost == cost && floor.scale == scale) return floor.interval;
  }
  return std::nullopt;
}

std::vector<const Curve*> View::curves(CostAxis cost, std::string_view scale, std::string_view variant) const {
  std::vector<const Curve*> found;
  for (const Curve& curve : analysis_.curves) {
    if (curve.cost != cost || curve.cost_values.empty() || curve.run >= analysis_.runs.size()) continue;
    const Run& run = analysis_.runs[curve.run];
    if (run.scale == scale && run.variant == variant) found.push_back(&curve);
  }
  return found;
}

const ThresholdSweep* View::thresholds(CostAxis cost, std::string_view scale, std::string_view variant) const {
  for (const ThresholdSweep& sweep : analysis_.thresholds) {
    if (sweep.cost == cost && sweep.scale == scale && sweep.variant == variant) return &sweep;
  }
  return nullptr;
}

std::optional<double> View::target(CostAxis cost, std::string_view scale) const {
  std::optional<double> target;
  for (const Row& row : analysis_.rows) {
    if (row.cost != cost || row.scale != scale || !row.target) continue;
    if (target && *target != *row.target) return std::nullopt;
    target = row.target;
  }
  return target;
}

Standing View::standing(const Row& row) const {
  if (row.a_a) return Standing::unknown;
  const auto interval = marked_interval(row);
  const auto noise = floor(row.cost, row.scale);
  if (row.status == Status::not_reached) {
    // The bound needs no interval: all that the variant spent did not buy the target.
    return noise && row.bound && row.bound->value < noise->low ? Standing::below : Standing::unknown;
  }
  if (!interval || !noise) return Standing::unknown;
  if (interval->low > std::max(1.0, noise->high)) return Standing::above;
  if (interval->high < std::min(1.0, noise->low)) return Standing::below;
  return Standing::within;
}

Window View::window(CostAxis cost, std::string_view scale, Zoom zoom) const {
  Window window;
  double first = 0, last = 0, lowest = 0;
  bool any = false;
  for (const Curve& curve : analysis_.curves) {
    if (curve.cost != cost || curve.cost_values.empty() || analysis_.runs[curve.run].scale != scale) continue;
    const double best = *std::min_element(curve.loss.begin(), curve.loss.end());
    first = any ? std::min(first, curve.cost_values.front()) : curve.cost_values.front();
    last = any ? std::max(last, curve.cost_values.back()) : curve.cost_values.back();
    lowest = any ? std::min(lowest, best) : best;
    any = true;
  }
  double earliest = last;
  double top = lowest;
  for (const Row& row : analysis_.rows) {
    if (row.cost != cost || row.scale != scale) continue;
    for (const SeedResult& seed : row.per_seed) {
      if (has_crossings() && seed.variant_cost > 0) earliest = std::min(earliest, seed.variant_cost);
      if (has_crossings() && seed.baseline_cost > 0) earliest = std::min(earliest, seed.baseline_cost);
      top = std::max(top, seed.target);
    }
  }
  window.cost_low =
      std::max(first, zoom == Zoom::overview ? std::min(earliest / 3, last / 30) : std::min(earliest / 1.8, last / 5));
  window.cost_high = last;
  for (const Curve* curve : curves(cost, scale, baseline())) {
    const auto at = std::lower_bound(curve->cost_values.begin(), curve->cost_values.end(), window.cost_low);
    if (at == curve->cost_values.end()) continue;
    top = std::max(top, curve->loss[static_cast<std::size_t>(at - curve->cost_values.begin())]);
  }
  const double height = top - lowest;
  // Close up, the gain is written below the crossings.
  window.loss_low = lowest - (zoom == Zoom::overview ? 0.06 : 0.2) * height;
  window.loss_high = top + 0.04 * height;
  return window;
}

std::optional<Interval> View::noise_costs(CostAxis cost, std::string_view scale) const {
  const auto noise = floor(cost, scale);
  if (!noise || !(noise->low > 0)) return std::nullopt;
  for (const Row& row : analysis_.rows) {
    if (row.cost != cost || row.scale != scale || row.status != Status::reached) continue;
    const auto crossing = mean_crossing(row, &SeedResult::baseline_cost);
    if (crossing) return Interval{*crossing / noise->high, *crossing / noise->low};
  }
  return std::nullopt;
}

std::vector<Note> View::notes() const {
  std::vector<Note> notes;
  for (const std::string& variant : analysis_.variants) {
    for (const Published& value : published_for(variant)) {
      if (note_number(notes, value) > notes.size()) notes.push_back({value.source, value.flag});
    }
  }
  return notes;
}

std::size_t View::note_number(const std::vector<Note>& notes, const Published& value) {
  const auto same = [&](const Note& note) { return note.source == value.source && note.flag == value.flag; };
  return static_cast<std::size_t>(std::find_if(notes.begin(), notes.end(), same) - notes.begin()) + 1;
}

std::optional<double> mean_crossing(const Row& row, double SeedResult::*side) {
  double sum = 0;
  for (const SeedResult& seed : row.per_seed) sum += std::log(seed.*side);
  const double mean = std::exp(sum / static_cast<double>(row.per_seed.size()));
  return std::isfinite(mean) && mean > 0 ? std::optional(mean) : std::nullopt;
}

std::optional<double> marked_value(const Row& row) { return row.status == Status::reached ? row.ceg : row.auxiliary; }

std::optional<Interval> marked_interval(const Row& row) {
  return row.status == Status::reached ? row.interval : row.auxiliary_interval;
}

std::string bound_text(const std::optional<Bound>& bound) {
  return bound ? (bound->at_least ? "≥ " : "≤ ") + ratio_text(bound->value) : std::string(kDash);
}

std::string row_text(const Row& row) {
  if (row.status == Status::reached) {
    if (!row.ceg) return bound_text(row.bound);
    if (!row.interval) return ratio_text(row.ceg);
    return fmt::format("{} ({})", ratio_text(row.ceg), interval_text(row.interval->low, row.interval->high));
  }
  std::string text = "not reached";
  if (row.bound) text += ", " + bound_text(row.bound);
  if (row.auxiliary) text += "; aux. " + ratio_text(row.auxiliary);
  return text;
}

}  // namespace isoloss::ceg::report
