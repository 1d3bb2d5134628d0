// A small library for drawing charts as SVG text: scales with sensible ticks, markers that do not rely on colour, and
// a drawing that escapes what it is given. Colours come from the page's style sheet by class, so that one drawing
// serves light and dark.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss::ceg::report {

struct Place {
  double x = 0, y = 0;  ///< in the drawing's units, one being a CSS pixel at full size
};

/// Maps values to positions along one axis, linearly or by logarithm.
class Scale {
 public:
  enum class Kind { linear, logarithmic };
  /// `low` maps to `from`, `high` to `to`; from > to turns the axis round. Expects finite low < high, and 0 < low when
  /// logarithmic; anything else is widened until it holds, since data may be a single value.
  Scale(Kind kind, double low, double high, double from, double to);

  double operator()(double value) const;
  /// The same, moved to the nearer end when outside.
  double clamped(double value) const;
  bool contains(double value) const;
  double low() const { return low_; }
  double high() const { return high_; }
  double from() const { return from_; }
  double to() const { return to_; }

  /// The same axis for values counted in units of `divisor`.
  Scale in_units(double divisor) const { return {kind_, low_ / divisor, high_ / divisor, from_, to_}; }

  /// Round values inside the axis, at least `gap` apart once drawn: 1-2-5 steps when linear; when logarithmic the
  /// densest that fits of 1-2-5 within decades, powers of ten, and linear steps for axes shorter than that shows.
  std::vector<double> ticks(double gap) const;

 private:
  std::vector<double> linear_ticks(double gap) const;
  std::vector<double> logarithmic_ticks(double gap) const;
  Kind kind_;
  double low_, high_, from_, to_;
};

enum class Shape { circle, square, triangle, inverted, cross, diamond };
/// Shapes and line dashes by number, so that the n-th variant is told apart without its colour. The diamond is left
/// to published values.
Shape shape_of(std::size_t index);
std::string_view dash_of(std::size_t index);  ///< of stroke-dasharray; "" for a full line
/// Class that gives the n-th variant its colour: "c0", "c1", …; they repeat after kColours.
std::string colour_of(std::size_t index);
inline constexpr std::size_t kColours = 8;

/// Width of `text` in a sans-serif font of `size`, by rule of thumb; wide enough to keep labels apart.
double text_width(std::string_view text, double size);

enum class Anchor { start, middle, end };

/// SVG text under construction. Coordinates are rounded to a tenth of a unit; anything not finite is left out. Text is
/// escaped here; `classes` are the caller's own words.
class Drawing {
 public:
  /// `id` is unique on the page; `title` and `description` are what a screen reader says.
  Drawing(double width, double height, std::string_view id, std::string_view title, std::string_view description,
          std::string_view classes = "");

  double width() const { return width_; }
  double height() const { return height_; }

  void line(Place from, Place to, std::string_view classes, std::string_view dash = "");
  void path(const std::vector<Place>& places, std::string_view classes, std::string_view dash = "");
  /// A closed area between two lines with the same x.
  void area(const std::vector<Place>& upper, const std::vector<Place>& lower, std::string_view classes);
  void rectangle(Place corner, double width, double height, std::string_view classes);
  void marker(Shape shape, Place centre, double size, std::string_view classes, std::string_view tip = "");
  /// A triangle whose point is at `tip`, looking left or right.
  void arrow_head(Place tip, bool right, std::string_view classes);
  void text(Place at, std::string_view words, std::string_view classes, Anchor anchor = Anchor::start);
  /// Text that is turned to read upwards, for vertical axes.
  void upright_text(Place at, std::string_view words, std::string_view classes);
  /// Elements until `close` belong together; `tip` is shown when the pointer rests on them.
  void open(std::string_view classes, std::string_view tip = "");
  void close();

  /// Until `close_clip`, what falls outside this rectangle is cut off.
  void open_clip(Place corner, double width, double height);
  void close_clip();

  std::string finish() &&;
  /// What `draw` draws, without an <svg> around it.
  static std::string fragment(const std::function<void(Drawing&)>& draw);

 private:
  Drawing() = default;
  double width_ = 0, height_ = 0;
  std::string body_;
};

/// A number as SVG wants it: rounded to a tenth, no trailing zero.
std::string coordinate(double value);

}  // namespace isoloss::ceg::report
