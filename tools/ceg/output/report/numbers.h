// Numbers and names as the report prints them. Every figure on the page goes through here, so a value that is absent
// or not finite can only ever become a dash.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/ceg/input/curves.h"

namespace isoloss::ceg::report {

/// What stands where there is no number.
inline constexpr std::string_view kDash = "–";

/// Text made harmless for HTML and SVG, in elements and in quoted attributes. Bytes that are not UTF-8 and control
/// characters become U+FFFD, so that a hostile name cannot break the page.
std::string escape(std::string_view text);

/// At most `characters` code points; longer text ends in an ellipsis.
std::string shortened(std::string_view text, std::size_t characters);

/// A CEG or another ratio, with the digits that all outputs have ("1.842", "12.34", "1,235").
std::string ratio_text(std::optional<double> value);
/// "1.42 – 2.31"; a dash unless both ends are there.
std::string interval_text(std::optional<double> low, std::optional<double> high);
/// A loss in nats per token, or any number of order one: `decimals` after the point.
std::string fixed_text(std::optional<double> value, int decimals);
/// The same with its sign always shown ("+0.12", "−0.03").
std::string signed_text(std::optional<double> value, int decimals);
/// A cost of any size: "1,234" up to a million, "1.23×10¹⁵" beyond.
std::string quantity_text(std::optional<double> value);
/// The shortest decimal form of a tick or a whole number: "0.5", "20", "1.25".
std::string plain_text(double value);
/// "1 seed", "3 seeds".
std::string counted(std::size_t count, std::string_view singular);

/// The unit in which an axis is labelled: values are divided by `divisor`, and the label names it.
struct AxisUnit {
  double divisor = 1;
  std::string label;  ///< e.g. "PFLOP", "million tokens", "minutes"
};

/// The unit that keeps tick labels short for costs up to `largest`.
AxisUnit axis_unit(CostAxis cost, double largest);

}  // namespace isoloss::ceg::report
