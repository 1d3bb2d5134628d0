#include "tools/ceg/output/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tools/ceg/output/report/numbers.h"

namespace isoloss::ceg::report {
namespace {

bool finite(Place place) { return std::isfinite(place.x) && std::isfinite(place.y); }

std::string attribute(std::string_view name, std::string_view value) {
  return value.empty() ? std::string() : fmt::format(" {}=\"{}\"", name, value);
}

std::string title_element(std::string_view tip) {
  return tip.empty() ? std::string() : "<title>" + escape(tip) + "</title>";
}

/// Smallest of 1, 2, 5 times a power of ten that is at least `step`.
double round_step(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double digit : {1.0, 2.0, 5.0}) {
    if (digit * power >= step * (1 - 1e-9)) return digit * power;
  }
  return 10 * power;
}

std::vector<double> multiples(double low, double high, double step) {
  std::vector<double> values;
  for (double index = std::ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; ++index) {
    values.push_back(index * step);
  }
  return values;
}

}  // namespace

Scale::Scale(Kind kind, double low, double high, double from, double to)
    : kind_(kind), low_(low), high_(high), from_(from), to_(to) {
  const bool logarithmic = kind == Kind::logarithmic;
  if (!std::isfinite(low_) || !std::isfinite(high_)) low_ = high_ = 1;
  if (logarithmic && low_ <= 0) low_ = high_ > 0 ? high_ / 10 : 1;
  if (low_ < high_) return;
  const double middle = low_;
  const double margin = middle == 0 ? 1 : 0.1 * std::abs(middle);
  low_ = logarithmic ? middle / 1.5 : middle - margin;
  high_ = logarithmic ? middle * 1.5 : middle + margin;
}

double Scale::operator()(double value) const {
  const double share =
      kind_ == Kind::linear ? (value - low_) / (high_ - low_) : std::log(value / low_) / std::log(high_ / low_);
  return from_ + share * (to_ - from_);
}

double Scale::clamped(double value) const { return (*this)(std::clamp(value, low_, high_)); }

bool Scale::contains(double value) const { return value >= low_ && value <= high_; }

std::vector<double> Scale::ticks(double gap) const {
  return kind_ == Kind::linear ? linear_ticks(gap) : logarithmic_ticks(gap);
}

std::vector<double> Scale::linear_ticks(double gap) const {
  const double per_unit = std::abs(to_ - from_) / (high_ - low_);
  return multiples(low_, high_, round_step(gap / per_unit));
}

std::vector<double> Scale::logarithmic_ticks(double gap) const {
  const auto fits = [&](const std::vector<double>& values) {
    for (std::size_t i = 1; i < values.size(); ++i) {
      if (std::abs((*this)(values[i]) - (*this)(values[i - 1])) < gap) return false;
    }
    return values.size() >= 3;
  };
  const int first = static_cast<int>(std::floor(std::log10(low_)));
  const int last = static_cast<int>(std::ceil(std::log10(high_)));
  const auto within_decades = [&](std::initializer_list<double> digits, int every) {
    std::vector<double> values;
    for (int decade = first; decade <= last; ++decade) {
      if (decade % every != 0) continue;
      for (const double digit : digits) {
        // Through a power of the absolute exponent: 1e-3 as 1 / 1000 prints as 0.001, 10^-3 by pow need not.
        const double power = std::pow(10.0, std::abs(decade));
        const double value = decade < 0 ? digit / power : digit * power;
        if (value >= low_ * (1 - 1e-9) && value <= high_ * (1 + 1e-9)) values.push_back(value);
      }
    }
    return values;
  };
  if (auto values = within_decades({1, 1.5, 2, 3, 5, 7}, 1); high_ / low_ < 20 && fits(values)) return values;
  if (auto values = within_decades({1, 2, 5}, 1); fits(values)) return values;
  // Short axes: even steps in the value itself look regular enough.
  if (high_ / low_ < 12) {
    for (int parts = 8; parts >= 2; --parts) {
      auto values = multiples(low_, high_, round_step((high_ - low_) / parts));
      if (fits(values)) return values;
    }
  }
  for (int every = 1; every <= std::max(1, last - first); ++every) {
    auto values = within_decades({1}, every);
    if (fits(values)) return values;
  }
  auto values = within_decades({1, 2, 5}, 1);
  if (values.empty()) values = {low_, high_};
  if (values.size() > 2) values = {values.front(), values.back()};
  return values;
}

Shape shape_of(std::size_t index) {
  constexpr std::array kShapes = {Shape::circle, Shape::square, Shape::triangle, Shape::inverted, Shape::cross};
  return kShapes[index % kShapes.size()];
}

std::string_view dash_of(std::size_t index) {
  constexpr std::array<std::string_view, 4> kDashes = {"", "7 3", "2 2.5", "9 3 2 3"};
  return kDashes[index % kDashes.size()];
}

std::string colour_of(std::size_t index) { return fmt::format("c{}", index % kColours); }

double text_width(std::string_view text, double size) {
  const auto letters = std::count_if(text.begin(), text.end(),
                                     [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; });
  return 0.58 * size * static_cast<double>(letters);
}

std::string coordinate(double value) {
  std::string digits = fmt::format("{:.1f}", value);
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return digits == "-0" ? "0" : digits;
}

Drawing::Drawing(double width, double height, std::string_view id, std::string_view title, std::string_view description,
                 std::string_view classes)
    : width_(width), height_(height) {
  body_ = fmt::format(
      "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\"{2} role=\"img\" aria-labelledby=\"{3}-t {3}-d\">"
      "<title id=\"{3}-t\">{4}</title><desc id=\"{3}-d\">{5}</desc>\n",
      coordinate(width), coordinate(height), attribute("class", classes), id, escape(title), escape(description));
}

void Drawing::line(Place from, Place to, std::string_view classes, std::string_view dash) {
  if (!finite(from) || !finite(to)) return;
  body_ +=
      fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"{}{}/>\n", coordinate(from.x), coordinate(from.y),
                  coordinate(to.x), coordinate(to.y), attribute("class", classes), attribute("stroke-dasharray", dash));
}

void Drawing::path(const std::vector<Place>& places, std::string_view classes, std::string_view dash) {
  std::string data;
  std::string last;
  for (const Place place : places) {
    if (!finite(place)) continue;
    std::string point = coordinate(place.x) + " " + coordinate(place.y);
    if (point == last) continue;
    data += data.empty() ? "M" : "L";
    data += point;
    last = std::move(point);
  }
  if (data.empty()) return;
  body_ +=
      fmt::format("<path d=\"{}\"{}{}/>\n", data, attribute("class", classes), attribute("stroke-dasharray", dash));
}

void Drawing::area(const std::vector<Place>& upper, const std::vector<Place>& lower, std::string_view classes) {
  std::vector<Place> outline = upper;
  outline.insert(outline.end(), lower.rbegin(), lower.rend());
  if (upper.size() < 2 || !std::all_of(outline.begin(), outline.end(), finite)) return;
  std::string data;
  for (const Place place : outline) {
    data += fmt::format("{}{} {}", data.empty() ? "M" : "L", coordinate(place.x), coordinate(place.y));
  }
  body_ += fmt::format("<path d=\"{}Z\"{}/>\n", data, attribute("class", classes));
}

void Drawing::rectangle(Place corner, double width, double height, std::string_view classes) {
  if (!finite(corner) || !(width > 0) || !(height > 0)) return;
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}/>\n", coordinate(corner.x),
                       coordinate(corner.y), coordinate(width), coordinate(height), attribute("class", classes));
}

void Drawing::marker(Shape shape, Place centre, double size, std::string_view classes, std::string_view tip) {
  if (!finite(centre)) return;
  const double r = size / 2;
  const auto polygon = [&](std::initializer_list<Place> offsets) {
    std::string data;
    for (const Place offset : offsets) {
      data += fmt::format("{}{} {}", data.empty() ? "M" : "L", coordinate(centre.x + r * offset.x),
                          coordinate(centre.y + r * offset.y));
    }
    return fmt::format("<path d=\"{}Z\"", data);
  };
  std::string element;
  switch (shape) {
    case Shape::circle:
      element = fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"", coordinate(centre.x), coordinate(centre.y),
                            coordinate(r));
      break;
    case Shape::square:
      element = polygon({{-.9, -.9}, {.9, -.9}, {.9, .9}, {-.9, .9}});
      break;
    case Shape::triangle:
      element = polygon({{0, -1.15}, {1.1, .85}, {-1.1, .85}});
      break;
    case Shape::diamond:
      element = polygon({{0, -1.25}, {1.25, 0}, {0, 1.25}, {-1.25, 0}});
      break;
    case Shape::inverted:
      element = polygon({{0, 1.15}, {1.1, -.85}, {-1.1, -.85}});
      break;
    case Shape::cross:
      element = polygon({{-.35, -1.1},
                         {.35, -1.1},
                         {.35, -.35},
                         {1.1, -.35},
                         {1.1, .35},
                         {.35, .35},
                         {.35, 1.1},
                         {-.35, 1.1},
                         {-.35, .35},
                         {-1.1, .35},
                         {-1.1, -.35},
                         {-.35, -.35}});
      break;
  }
  body_ += element + attribute("class", classes) +
           (tip.empty() ? "/>\n" : ">" + title_element(tip) + (shape == Shape::circle ? "</circle>\n" : "</path>\n"));
}

void Drawing::arrow_head(Place tip, bool right, std::string_view classes) {
  if (!finite(tip)) return;
  const double back = right ? -7 : 7;
  body_ += fmt::format("<path d=\"M{} {}L{} {}L{} {}Z\"{}/>\n", coordinate(tip.x), coordinate(tip.y),
                       coordinate(tip.x + back), coordinate(tip.y - 3.5), coordinate(tip.x + back),
                       coordinate(tip.y + 3.5), attribute("class", classes));
}

void Drawing::text(Place at, std::string_view words, std::string_view classes, Anchor anchor) {
  if (!finite(at)) return;
  constexpr std::array<std::string_view, 3> kAnchors = {"", "middle", "end"};
  body_ += fmt::format("<text x=\"{}\" y=\"{}\"{}{}>{}</text>\n", coordinate(at.x), coordinate(at.y),
                       attribute("class", classes),
                       attribute("text-anchor", kAnchors[static_cast<std::size_t>(anchor)]), escape(words));
}

void Drawing::upright_text(Place at, std::string_view words, std::string_view classes) {
  body_ += fmt::format("<text transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\"{}>{}</text>\n",
                       coordinate(at.x), coordinate(at.y), attribute("class", classes), escape(words));
}

void Drawing::open(std::string_view classes, std::string_view tip) {
  body_ += fmt::format("<g{}>{}\n", attribute("class", classes), title_element(tip));
}

void Drawing::close() { body_ += "</g>\n"; }

void Drawing::open_clip(Place corner, double width, double height) {
  // A nested <svg> clips to its own frame, and needs no id as a clip path would.
  body_ += fmt::format("<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">\n",
                       coordinate(corner.x), coordinate(corner.y), coordinate(width), coordinate(height));
}

void Drawing::close_clip() { body_ += "</svg>\n"; }

std::string Drawing::fragment(const std::function<void(Drawing&)>& draw) {
  Drawing drawing;
  draw(drawing);
  return std::move(drawing.body_);
}

std::string Drawing::finish() && {
  body_ += "</svg>\n";
  return std::move(body_);
}

}  // namespace isoloss::ceg::report
