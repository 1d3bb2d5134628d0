// The report's charts, each a complete SVG element.
#pragma once

#include <string>
#include <string_view>

#include "tools/ceg/output/report/view.h"

namespace isoloss::ceg::report {

/// Wide for a page, narrow for a phone: scaling one drawing down would make its text illegible.
enum class Frame { wide, narrow };

/// CEG of every variant and scale with its interval on a log axis, noise floor behind, published values beside.
std::string forest_chart(const View& view, CostAxis cost, Frame frame);

/// Loss of every run of one scale against cost (log), with the target and every crossing.
std::string loss_chart(const View& view, CostAxis cost, std::string_view scale, Frame frame);

/// One variant against the baseline: its runs, the baseline's, and the distance between their crossings.
std::string crossing_panel(const View& view, CostAxis cost, std::string_view scale, std::string_view variant);

/// CEG of one variant against the target loss it is read at. All panels of a scale share their axes.
std::string threshold_panel(const View& view, CostAxis cost, std::string_view scale, std::string_view variant);

/// ln CEG against ln compute over the scales. All panels of an axis share their axes.
std::string scale_panel(const View& view, const ScaleFit& fit);

/// A line and a marker in a variant's look, for legends in the text.
std::string swatch(const Look& look);

/// An id that is unique on the page: what it is, the axis, and numbers for scale and variant.
std::string chart_id(const View& view, std::string_view kind, CostAxis cost, std::string_view scale,
                     std::string_view variant);

}  // namespace isoloss::ceg::report
