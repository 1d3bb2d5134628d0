// The forest plot: one line a measurement, grouped by variant.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/ceg/output/report/charts.h"
#include "tools/ceg/output/report/numbers.h"

namespace isoloss::ceg::report {
namespace {

struct Line {
  std::string detail;  ///< scale, or a published value's setting and footnote
  std::string figures;
  std::string tip;
  Look look;
  bool published = false, auxiliary = false;
  std::optional<double> value, bound;
  std::optional<Interval> interval, floor;
};

struct Group {
  std::string name;
  std::vector<Line> lines;
};

/// Where things stand in a frame.
struct Layout {
  double width, plot_left, plot_right, line_height, group_gap;
  double name_size;  ///< characters that fit
  bool stacked;      ///< names and figures above the bar instead of beside it
};
constexpr Layout kWide{920, 300, 690, 24, 10, 26, false};
constexpr Layout kNarrow{360, 12, 348, 40, 24, 34, true};
constexpr double kTop = 30;
constexpr double kBottom = 46;

Line measured_line(const View& view, const Row& row) {
  Line line;
  line.detail = row.scale;
  line.figures = row_text(row);
  line.look = view.look(row.variant);
  line.value = marked_value(row);
  line.interval = marked_interval(row);
  line.auxiliary = row.status == Status::not_reached;
  if (row.bound && !row.bound->at_least) line.bound = row.bound->value;
  line.floor = view.floor(row.cost, row.scale);
  line.tip = fmt::format("{} at {}: {}, {}", row.variant, row.scale, row_text(row),
                         counted(static_cast<std::size_t>(std::max(0, row.seeds)), "seed"));
  return line;
}

Line published_line(const std::vector<Note>& notes, const Published& value) {
  Line line;
  line.detail = fmt::format("{} [{}]", value.setting, View::note_number(notes, value));
  line.published = true;
  line.auxiliary = !value.ceg;
  line.value = value.ceg ? value.ceg : value.auxiliary;
  line.figures = value.ceg         ? ratio_text(value.ceg)
                 : value.auxiliary ? "not reached; aux. " + ratio_text(value.auxiliary)
                                   : "not reached";
  line.look = {"published", Shape::diamond, ""};
  line.tip = fmt::format("{}, {}: {}. {}{}{}", value.innovation, value.setting, line.figures, value.source,
                         value.flag.empty() ? "" : "; ", value.flag);
  return line;
}

std::vector<Group> groups_of(const View& view, CostAxis cost) {
  const auto notes = view.notes();
  std::vector<Group> groups;
  for (const std::string& variant : view.compared(cost)) {
    Group group{variant, {}};
    for (const std::string& scale : view.scales(cost)) {
      if (const Row* row = view.row(cost, scale, variant)) group.lines.push_back(measured_line(view, *row));
    }
    for (const Published& value : published_for(variant)) group.lines.push_back(published_line(notes, value));
    groups.push_back(std::move(group));
  }
  return groups;
}

/// Covers every estimate; intervals stretch it, but by no more than a factor of three, so that one interval from two
/// seeds does not squeeze all others. Ends outside are drawn as arrows.
Scale axis_of(const std::vector<Group>& groups, const Layout& layout) {
  double low = 0.95, high = 1.05;
  const auto include = [&](std::optional<double> value) {
    if (!value || !(*value > 0) || !std::isfinite(*value)) return;
    low = std::min(low, *value);
    high = std::max(high, *value);
  };
  for (const Group& group : groups) {
    for (const Line& line : group.lines) {
      include(line.value);
      include(line.bound);
    }
  }
  const double least = low / 3, most = high * 3;
  for (const Group& group : groups) {
    for (const Line& line : group.lines) {
      for (const auto& interval : {line.interval, line.floor}) {
        if (!interval) continue;
        include(std::max(least, interval->low));
        include(std::min(most, interval->high));
      }
    }
  }
  const double margin = std::pow(high / low, 0.05);
  return {Scale::Kind::logarithmic, low / margin, high * margin, layout.plot_left, layout.plot_right};
}

void draw_interval(Drawing& drawing, const Scale& x, const Interval& interval, double y, const std::string& classes) {
  drawing.line({x.clamped(interval.low), y}, {x.clamped(interval.high), y}, "whisker " + classes);
  const auto end = [&](double value, bool right) {
    const double at = x.clamped(value);
    if (x.contains(value)) {
      drawing.line({at, y - 4}, {at, y + 4}, "whisker " + classes);
    } else {
      drawing.arrow_head({at, y}, right, "mark " + classes);
    }
  };
  end(interval.low, false);
  end(interval.high, true);
}

/// Grid and the line at 1; on a narrow frame only behind the bars, so that they do not run through the words.
void draw_rulers(Drawing& drawing, const Scale& x, const std::vector<double>& ticks, double top, double bottom) {
  for (const double tick : ticks) drawing.line({x(tick), top}, {x(tick), bottom}, "grid");
  drawing.line({x(1), top}, {x(1), bottom}, "reference");
}

void draw_line(Drawing& drawing, const Scale& x, const Line& line, double y) {
  if (line.floor && !line.published) {
    const double left = x.clamped(line.floor->low);
    drawing.rectangle({left, y - kWide.line_height / 2}, std::max(1.0, x.clamped(line.floor->high) - left),
                      kWide.line_height, "floor");
  }
  drawing.open("series", line.tip);
  if (line.bound) {
    // Everything left of the bound is possible, so the bar runs off the axis.
    drawing.line({x.clamped(*line.bound), y + 6}, {x.from() + 4, y + 6}, "bound " + line.look.colour);
    drawing.line({x.clamped(*line.bound), y + 2}, {x.clamped(*line.bound), y + 10}, "bound " + line.look.colour);
    drawing.arrow_head({x.from() + 2, y + 6}, false, "mark " + line.look.colour);
  }
  if (line.interval) draw_interval(drawing, x, *line.interval, y, line.look.colour);
  if (line.value) {
    const bool hollow = line.published || line.auxiliary;
    drawing.marker(line.look.shape, {x.clamped(*line.value), y}, line.published ? 8 : 10,
                   (hollow ? "hollow " : "mark ") + line.look.colour);
  }
  drawing.close();
}

}  // namespace

std::string forest_chart(const View& view, CostAxis cost, Frame frame) {
  const Layout& layout = frame == Frame::wide ? kWide : kNarrow;
  const auto groups = groups_of(view, cost);
  const Scale x = axis_of(groups, layout);
  double height = kTop + kBottom;
  for (const Group& group : groups) {
    height += layout.group_gap + layout.line_height * static_cast<double>(group.lines.size());
  }
  Drawing drawing(layout.width, height, chart_id(view, frame == Frame::wide ? "forest" : "forest-narrow", cost, "", ""),
                  fmt::format("Forest plot of compute-equivalent gain in {}", cost_unit(cost)),
                  "One line a variant and scale: estimate, interval, and the noise floor behind it. Every figure is "
                  "also in the table.",
                  frame == Frame::wide ? "chart wide" : "chart narrow");
  const double bottom = height - kBottom;
  const auto ticks = x.ticks(frame == Frame::wide ? 40 : 34);
  double y = kTop;
  std::size_t band = 0;
  for (const Group& group : groups) {
    const double size = layout.group_gap + layout.line_height * static_cast<double>(group.lines.size());
    if (band++ % 2 == 0) drawing.rectangle({0, y}, layout.width, size, "zebra");
    y += size;
  }
  for (const double tick : ticks) {
    drawing.text({x(tick), bottom + 16}, plain_text(tick), "tick", Anchor::middle);
    drawing.text({x(tick), kTop - 14}, plain_text(tick), "tick", Anchor::middle);
  }
  if (!layout.stacked) draw_rulers(drawing, x, ticks, kTop - 8, bottom);
  y = kTop;
  for (const Group& group : groups) {
    const auto name = shortened(group.name, static_cast<std::size_t>(layout.name_size));
    if (layout.stacked) {
      drawing.text({layout.plot_left, y + 20}, name, "label strong");
      y += layout.group_gap;
    } else {
      y += layout.group_gap / 2;
      drawing.text({10, y + layout.line_height / 2 + 4}, name, "label strong");
    }
    for (const Line& line : group.lines) {
      const std::string muted = line.published ? "label published-text" : "label";
      if (layout.stacked) {
        drawing.text({layout.plot_left, y + 13}, shortened(line.detail, 18), muted);
        drawing.text({layout.plot_right, y + 13}, line.figures, muted + " figures", Anchor::end);
        draw_rulers(drawing, x, ticks, y + 17, y + 37);
        draw_line(drawing, x, line, y + 27);
      } else {
        const double middle = y + layout.line_height / 2;
        drawing.text({layout.plot_left - 14, middle + 4}, shortened(line.detail, 16), muted, Anchor::end);
        drawing.text({layout.plot_right + 14, middle + 4}, line.figures, muted + " figures");
        draw_line(drawing, x, line, middle);
      }
      y += layout.line_height;
    }
    if (!layout.stacked) y += layout.group_gap / 2;
  }
  drawing.line({x.from(), bottom}, {x.to(), bottom}, "axis");
  drawing.text({x.from(), height - 10}, "← costs more", "axis-label");
  drawing.text({(x.from() + x.to()) / 2, height - 10}, "CEG, log axis", "axis-label", Anchor::middle);
  drawing.text({x.to(), height - 10}, "saves compute →", "axis-label", Anchor::end);
  return std::move(drawing).finish();
}

}  // namespace isoloss::ceg::report
