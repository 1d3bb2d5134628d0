// Charts of curves: loss against cost, CEG against target, CEG against compute.
#include "tools/ceg/output/report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/ceg/output/report/numbers.h"

namespace isoloss::ceg::report {
namespace {

/// Place of a plot inside its drawing.
struct Box {
  double left, top, right, bottom;
};

constexpr double kPanelWidth = 310;
constexpr double kPanelHeight = 216;
constexpr Box kPanel{46, 14, 298, 176};

/// Drops places that would fall on the same half unit of x, keeping the first, the last, the lowest and the highest of
/// each, so that a curve of a hundred thousand evaluations looks the same and weighs little.
std::vector<Place> thinned(const std::vector<Place>& places) {
  std::vector<Place> kept;
  for (std::size_t begin = 0; begin < places.size();) {
    const double column = std::floor(2 * places[begin].x);
    std::size_t end = begin + 1, lowest = begin, highest = begin;
    for (; end < places.size() && std::floor(2 * places[end].x) == column; ++end) {
      if (places[end].y < places[lowest].y) lowest = end;
      if (places[end].y > places[highest].y) highest = end;
    }
    std::vector<std::size_t> indices{begin, lowest, highest, end - 1};
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
    for (const std::size_t index : indices) kept.push_back(places[index]);
    begin = end;
  }
  return kept;
}

void draw_axes(Drawing& drawing, const Box& box, const Scale& x, const Scale& y, double divisor,
               std::string_view x_label, std::string_view y_label, double x_gap) {
  const Scale shown_x = x.in_units(divisor);
  for (const double tick : shown_x.ticks(x_gap)) {
    drawing.line({shown_x(tick), box.top}, {shown_x(tick), box.bottom}, "grid");
    drawing.text({shown_x(tick), box.bottom + 15}, plain_text(tick), "tick", Anchor::middle);
  }
  for (const double tick : y.ticks(28)) {
    drawing.line({box.left, y(tick)}, {box.right, y(tick)}, "grid");
    drawing.text({box.left - 6, y(tick) + 4}, plain_text(tick), "tick", Anchor::end);
  }
  drawing.line({box.left, box.bottom}, {box.right, box.bottom}, "axis");
  drawing.text({(box.left + box.right) / 2, box.bottom + 33}, x_label, "axis-label", Anchor::middle);
  drawing.upright_text({11, (box.top + box.bottom) / 2}, y_label, "axis-label");
}

void draw_curves(Drawing& drawing, const View& view, CostAxis cost, std::string_view scale, std::string_view variant,
                 const Scale& x, const Scale& y) {
  const Look look = view.look(variant);
  for (const Curve* curve : view.curves(cost, scale, variant)) {
    std::vector<Place> places;
    for (std::size_t i = 0; i < curve->cost_values.size(); ++i) {
      // One point before the window stays, so that the line enters from its edge.
      if (i + 1 < curve->cost_values.size() && curve->cost_values[i + 1] < x.low()) continue;
      places.push_back({x(curve->cost_values[i]), y(curve->loss[i])});
    }
    const Run& run = view.analysis().runs[curve->run];
    drawing.open("series", fmt::format("{}, seed {}", run.variant, run.seed));
    drawing.path(thinned(places), "line " + look.colour, look.dash);
    drawing.close();
  }
}

/// Vertical places for labels wanted at `wanted`, in its order, at least `gap` apart inside [top, bottom].
std::vector<double> spread(const std::vector<double>& wanted, double gap, double top, double bottom) {
  std::vector<std::size_t> order(wanted.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  std::vector<double> places(wanted.size());
  double least = top;
  for (const std::size_t index : order) {
    places[index] = std::max(wanted[index], least);
    least = places[index] + gap;
  }
  double most = bottom;
  for (auto index = order.rbegin(); index != order.rend(); ++index) {
    places[*index] = std::min(places[*index], most);
    most = places[*index] - gap;
  }
  return places;
}

/// Names at the right end of the curves, joined to them by thin leaders.
void draw_end_labels(Drawing& drawing, const View& view, CostAxis cost, std::string_view scale,
                     const std::vector<std::string>& variants, const Box& box, const Scale& x, const Scale& y) {
  std::vector<std::string> names;
  std::vector<Place> ends;
  std::vector<double> wanted;
  for (const std::string& variant : variants) {
    Place end;
    double count = 0;
    for (const Curve* curve : view.curves(cost, scale, variant)) {
      end.x = std::max(end.x, x(curve->cost_values.back()));
      end.y += y.clamped(curve->loss.back());
      ++count;
    }
    if (count == 0) continue;
    end.y /= count;
    names.push_back(variant);
    ends.push_back(end);
    wanted.push_back(end.y);
  }
  const auto places = spread(wanted, 17, box.top + 6, box.bottom - 4);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Look look = view.look(names[i]);
    drawing.path({{ends[i].x + 2, ends[i].y}, {box.right + 10, places[i]}, {box.right + 16, places[i]}}, "leader");
    drawing.marker(look.shape, {box.right + 23, places[i]}, 8, "mark " + look.colour);
    drawing.text({box.right + 33, places[i] + 4}, shortened(names[i], 22), "label");
  }
}

/// A crossing of every run that reaches the target, drawn where the curve meets it.
void draw_crossings(Drawing& drawing, const View& view, const Row& row, const Scale& x, const Scale& y, double size) {
  if (!view.has_crossings()) return;
  const Look look = view.look(row.variant);
  for (const SeedResult& seed : row.per_seed) {
    if (seed.variant_cost > 0) {
      drawing.marker(look.shape, {x.clamped(seed.variant_cost), y(seed.target)}, size,
                     (seed.variant_reached ? "mark " : "hollow ") + look.colour);
    }
  }
}

/// The horizontal distance between the two crossings: what CEG is.
void draw_gain(Drawing& drawing, const Row& row, const Box& box, const Scale& x, const Scale& y) {
  const auto value = marked_value(row);
  const auto baseline_cost = mean_crossing(row, &SeedResult::baseline_cost);
  const auto variant_cost = mean_crossing(row, &SeedResult::variant_cost);
  if (!value || !baseline_cost || !variant_cost) return;
  double level = 0;
  for (const SeedResult& seed : row.per_seed) level += y(seed.target) / static_cast<double>(row.per_seed.size());
  const double from = x.clamped(*baseline_cost), to = x.clamped(*variant_cost);
  if (std::abs(from - to) > 18) {
    const double tip = to + (to < from ? 5 : -5);
    drawing.line({from, level}, {tip + (to < from ? 6 : -6), level}, "gain");
    drawing.arrow_head({tip, level}, to > from, "gain-head");
  }
  // Left of both crossings and below the line no curve can be.
  const std::string words = (row.status == Status::reached ? "×" : "auxiliary ×") + ratio_text(value);
  const double left = std::min(from, to) - 7;
  const bool fits = left - text_width(words, 13) > box.left + 3;
  drawing.text({fits ? left : box.left + 5, level + 17}, words, "gain-text", fits ? Anchor::end : Anchor::start);
}

/// Grey where a crossing cannot be told from the baseline's.
void draw_noise(Drawing& drawing, const View& view, CostAxis cost, std::string_view scale, const Box& box,
                const Scale& x) {
  const auto costs = view.noise_costs(cost, scale);
  if (!costs) return;
  const double left = x.clamped(costs->low);
  drawing.rectangle({left, box.top}, x.clamped(costs->high) - left, box.bottom - box.top, "floor");
}

constexpr std::string_view kPanelClasses = "chart panel";

/// CEG axis over all given values and intervals; an interval stretches it by no more than a factor of two.
struct GainRange {
  double low = 0.95, high = 1.05;
  double least = 0.95, most = 1.05;
  void include(double value) {
    if (!(value > 0) || !std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void include_interval(const Interval& interval) {
    least = std::min(least, interval.low);
    most = std::max(most, interval.high);
  }
  Scale scale(const Box& box) const {
    const double from = std::min(low, std::max(least, low / 2)), to = std::max(high, std::min(most, high * 2));
    const double margin = std::pow(to / from, 0.06);
    return {Scale::Kind::logarithmic, from / margin, to * margin, box.bottom, box.top};
  }
};

}  // namespace

std::string chart_id(const View& view, std::string_view kind, CostAxis cost, std::string_view scale,
                     std::string_view variant) {
  const auto number = [](const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  return fmt::format("{}-{}-{}-{}", kind, cost_name(cost), number(view.analysis().scales, scale),
                     number(view.analysis().variants, variant));
}

std::string swatch(const Look& look) {
  return fmt::format(
      "<svg class=\"swatch\" viewBox=\"0 0 34 14\" width=\"34\" height=\"14\" aria-hidden=\"true\">{}</svg>",
      Drawing::fragment([&](Drawing& drawing) {
        drawing.line({1, 7}, {33, 7}, "line " + look.colour, look.dash);
        drawing.marker(look.shape, {17, 7}, 9, "mark " + look.colour);
      }));
}

std::string loss_chart(const View& view, CostAxis cost, std::string_view scale, Frame frame) {
  const bool wide = frame == Frame::wide;
  const Box box = wide ? Box{56, 14, 720, 400} : Box{46, 12, 350, 262};
  const Window window = view.window(cost, scale, Zoom::overview);
  const AxisUnit unit = axis_unit(cost, window.cost_high);
  const Scale x(Scale::Kind::logarithmic, window.cost_low, window.cost_high * 1.02, box.left, box.right);
  const Scale y(Scale::Kind::linear, window.loss_low, window.loss_high, box.bottom, box.top);
  Drawing drawing(wide ? 920 : 360, box.bottom + 42, chart_id(view, wide ? "loss" : "loss-narrow", cost, scale, ""),
                  fmt::format("Validation loss against {} at scale {}", cost_unit(cost), scale),
                  view.has_crossings() ? "One line a run. Markers show where a run first reaches the target loss."
                                       : "One line a run.",
                  wide ? "chart wide" : "chart narrow");
  draw_axes(drawing, box, x, y, unit.divisor, unit.label + " (log axis)", "validation loss, nats per token",
            wide ? 44 : 38);
  std::vector<std::string> variants = view.compared(cost);
  variants.insert(variants.begin(), view.baseline());
  draw_noise(drawing, view, cost, scale, box, x);
  drawing.open_clip({box.left, box.top}, box.right - box.left, box.bottom - box.top);
  const auto target = view.target(cost, scale);
  if (target) drawing.line({box.left, y(*target)}, {box.right, y(*target)}, "target");
  for (const std::string& variant : variants) draw_curves(drawing, view, cost, scale, variant, x, y);
  drawing.close_clip();
  for (const std::string& variant : variants) {
    if (const Row* row = view.row(cost, scale, variant)) draw_crossings(drawing, view, *row, x, y, wide ? 9 : 8);
  }
  if (target) {
    drawing.text({box.left + 6, y(*target) - 6}, "target " + fixed_text(target, 3), "target-text");
  }
  if (wide) draw_end_labels(drawing, view, cost, scale, variants, box, x, y);
  return std::move(drawing).finish();
}

std::string crossing_panel(const View& view, CostAxis cost, std::string_view scale, std::string_view variant) {
  const Row* row = view.row(cost, scale, variant);
  if (!row) return "";
  const Window window = view.window(cost, scale, Zoom::close);
  const AxisUnit unit = axis_unit(cost, window.cost_high);
  const Scale x(Scale::Kind::logarithmic, window.cost_low, window.cost_high * 1.04, kPanel.left, kPanel.right);
  const Scale y(Scale::Kind::linear, window.loss_low, window.loss_high, kPanel.bottom, kPanel.top);
  Drawing drawing(kPanelWidth, kPanelHeight, chart_id(view, "crossing", cost, scale, variant),
                  fmt::format("{} against the baseline at scale {}", variant, scale), row_text(*row), kPanelClasses);
  draw_axes(drawing, kPanel, x, y, unit.divisor, unit.label, "loss", 36);
  draw_noise(drawing, view, cost, scale, kPanel, x);
  drawing.open_clip({kPanel.left, kPanel.top}, kPanel.right - kPanel.left, kPanel.bottom - kPanel.top);
  if (row->target) drawing.line({kPanel.left, y(*row->target)}, {kPanel.right, y(*row->target)}, "target");
  draw_curves(drawing, view, cost, scale, view.baseline(), x, y);
  draw_curves(drawing, view, cost, scale, variant, x, y);
  drawing.close_clip();
  if (!view.has_crossings()) return std::move(drawing).finish();
  draw_gain(drawing, *row, kPanel, x, y);
  for (const SeedResult& seed : row->per_seed) {
    drawing.marker(Shape::circle, {x.clamped(seed.baseline_cost), y(seed.target)}, 6.5,
                   seed.baseline_reached ? "mark base" : "hollow base");
  }
  draw_crossings(drawing, view, *row, x, y, 8);
  return std::move(drawing).finish();
}

std::string threshold_panel(const View& view, CostAxis cost, std::string_view scale, std::string_view variant) {
  const ThresholdSweep* sweep = view.thresholds(cost, scale, variant);
  if (!sweep || sweep->points.empty()) return "";
  GainRange range;
  double hard = sweep->points.front().target, easy = hard;
  for (const ThresholdSweep& other : view.analysis().thresholds) {
    if (other.cost != cost || other.scale != scale) continue;
    for (const ThresholdPoint& point : other.points) {
      range.include(point.ceg);
      if (point.interval) range.include_interval(*point.interval);
      hard = std::min(hard, point.target);
      easy = std::max(easy, point.target);
    }
  }
  // Training goes to the right: a falling loss.
  const double margin = 0.03 * (easy - hard);
  const Scale x(Scale::Kind::linear, hard - margin, easy + margin, kPanel.right, kPanel.left);
  const Scale y = range.scale(kPanel);
  Drawing drawing(kPanelWidth, kPanelHeight, chart_id(view, "threshold", cost, scale, variant),
                  fmt::format("CEG of {} against the target loss at scale {}", variant, scale),
                  fmt::format("From {} at a loss of {} to {} at {}.", ratio_text(sweep->points.front().ceg),
                              fixed_text(sweep->points.front().target, 3), ratio_text(sweep->points.back().ceg),
                              fixed_text(sweep->points.back().target, 3)),
                  kPanelClasses);
  draw_axes(drawing, kPanel, x, y, 1, "target loss (falling) →", "CEG", 46);
  if (const auto floor = view.floor(cost, scale)) {
    const double top = y.clamped(floor->high);
    drawing.rectangle({kPanel.left, top}, kPanel.right - kPanel.left, y.clamped(floor->low) - top, "floor");
  }
  drawing.line({kPanel.left, y(1)}, {kPanel.right, y(1)}, "reference");
  const Look look = view.look(variant);
  std::vector<Place> line, upper, lower;
  for (const ThresholdPoint& point : sweep->points) {
    line.push_back({x(point.target), y.clamped(point.ceg)});
    if (!point.interval) continue;
    upper.push_back({x(point.target), y.clamped(point.interval->high)});
    lower.push_back({x(point.target), y.clamped(point.interval->low)});
  }
  drawing.area(upper, lower, "band " + look.colour);
  drawing.path(line, "line strong-line " + look.colour);
  const std::size_t every = std::max<std::size_t>(1, sweep->points.size() / 10);
  for (std::size_t i = 0; i < sweep->points.size(); i += every) {
    const ThresholdPoint& point = sweep->points[i];
    drawing.marker(look.shape, line[i], 7, "mark " + look.colour,
                   fmt::format("CEG {} at a loss of {}", ratio_text(point.ceg), fixed_text(point.target, 3)));
  }
  if (const auto target = view.target(cost, scale); target && x.contains(*target)) {
    drawing.line({x(*target), kPanel.top}, {x(*target), kPanel.bottom}, "target");
  }
  return std::move(drawing).finish();
}

std::string scale_panel(const View& view, const ScaleFit& fit) {
  if (fit.samples.size() < 2) return "";
  GainRange range;
  double smallest = fit.samples.front().compute, largest = smallest;
  for (const ScaleFit& other : view.analysis().scale_fits) {
    if (other.cost != fit.cost) continue;
    for (const ScaleFit::Sample& sample : other.samples) {
      range.include(sample.ceg);
      if (sample.interval) range.include_interval(*sample.interval);
      smallest = std::min(smallest, sample.compute);
      largest = std::max(largest, sample.compute);
    }
  }
  // The analysis measures compute in training FLOPs where every run has them.
  const auto& runs = view.analysis().runs;
  const bool flops = std::all_of(runs.begin(), runs.end(), [](const Run& run) { return run.has(CostAxis::flops); });
  const AxisUnit unit = axis_unit(flops ? CostAxis::flops : fit.cost, largest);
  const double margin = std::pow(largest / smallest, 0.12);
  const Scale x(Scale::Kind::logarithmic, smallest / margin, largest * margin, kPanel.left, kPanel.right);
  const Scale y = range.scale(kPanel);
  Drawing drawing(kPanelWidth, kPanelHeight, chart_id(view, "scaling", fit.cost, "", fit.variant),
                  fmt::format("CEG of {} against compute", fit.variant), fit.reason, kPanelClasses);
  draw_axes(drawing, kPanel, x, y, unit.divisor, "baseline's " + unit.label, "CEG", 40);
  drawing.line({kPanel.left, y(1)}, {kPanel.right, y(1)}, "reference");
  const Look look = view.look(fit.variant);
  drawing.open_clip({kPanel.left, kPanel.top}, kPanel.right - kPanel.left, kPanel.bottom - kPanel.top);
  if (fit.slope && fit.intercept) {
    double centre = 0;
    for (const ScaleFit::Sample& sample : fit.samples) {
      centre += std::log(sample.compute) / static_cast<double>(fit.samples.size());
    }
    const double level = *fit.intercept + *fit.slope * centre;
    const auto at = [&](double compute, double slope) {
      return Place{x(compute), y(std::exp(level + slope * (std::log(compute) - centre)))};
    };
    if (fit.slope_interval) {
      std::vector<Place> upper, lower;
      const double pivot = std::exp(centre);
      for (const double compute : {x.low(), pivot, x.high()}) {
        const Place steep = at(compute, fit.slope_interval->high), flat = at(compute, fit.slope_interval->low);
        upper.push_back(compute < pivot ? flat : steep);
        lower.push_back(compute < pivot ? steep : flat);
      }
      drawing.area(upper, lower, "band " + look.colour);
    }
    drawing.path({at(x.low(), *fit.slope), at(x.high(), *fit.slope)}, "line strong-line " + look.colour);
  }
  for (const ScaleFit::Sample& sample : fit.samples) {
    const double centre = x(sample.compute);
    if (const auto floor = view.floor(fit.cost, sample.scale)) {
      const double top = y.clamped(floor->high);
      drawing.rectangle({centre - 14, top}, 28, y.clamped(floor->low) - top, "floor");
    }
    if (sample.interval) {
      drawing.line({centre, y(sample.interval->low)}, {centre, y(sample.interval->high)}, "whisker " + look.colour);
    }
    drawing.marker(look.shape, {centre, y(sample.ceg)}, 9, "mark " + look.colour,
                   fmt::format("{}: CEG {}", sample.scale, ratio_text(sample.ceg)));
  }
  drawing.close_clip();
  return std::move(drawing).finish();
}

}  // namespace isoloss::ceg::report
