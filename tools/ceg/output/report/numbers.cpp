#include "tools/ceg/output/report/numbers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool usable(std::optional<double> value) { return value && std::isfinite(*value); }

/// A minus sign instead of a hyphen, and no "-0.00".
std::string with_minus(std::string digits) {
  if (digits.empty() || digits[0] != '-') return digits;
  digits.erase(0, 1);
  const bool zero = digits.find_first_not_of("0.,") == std::string::npos;
  return zero ? digits : "−" + digits;
}

std::string with_commas(std::string digits) {
  const std::size_t start = !digits.empty() && digits[0] == '-' ? 1 : 0;
  std::size_t end = digits.find('.');
  if (end == std::string::npos) end = digits.size();
  for (std::size_t at = end; at > start + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string superscript(int exponent) {
  constexpr std::array<std::string_view, 10> kDigits = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = exponent < 0 ? "⁻" : "";
  for (const char digit : std::to_string(std::abs(exponent))) text += kDigits[static_cast<std::size_t>(digit - '0')];
  return text;
}

/// Length of the well-formed UTF-8 sequence at `at`, 0 when there is none (RFC 3629, table of section 4).
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t offset) -> unsigned {
    return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0U;
  };
  const auto continues = [&](std::size_t offset) { return (byte(offset) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_length(text, at);
    const char character = text[at];
    if (length == 0) {
      safe += kReplacement;
      ++at;
      continue;
    }
    if (length > 1) {
      const bool control = length == 2 && static_cast<unsigned char>(character) == 0xC2 &&
                           static_cast<unsigned char>(text[at + 1]) < 0xA0;
      safe += control ? kReplacement : text.substr(at, length);
    } else if (character == '&') {
      safe += "&amp;";
    } else if (character == '<') {
      safe += "&lt;";
    } else if (character == '>') {
      safe += "&gt;";
    } else if (character == '"') {
      safe += "&quot;";
    } else if (character == '\'') {
      safe += "&#39;";
    } else if ((static_cast<unsigned char>(character) < 0x20 && character != '\n' && character != '\t') ||
               character == 0x7F) {
      safe += kReplacement;
    } else {
      safe += character;
    }
    at += length;
  }
  return safe;
}

std::string shortened(std::string_view text, std::size_t characters) {
  std::size_t count = 0;
  std::size_t keep = 0;
  for (std::size_t at = 0; at < text.size(); ++count) {
    if (count + 1 == characters) keep = at;
    if (count == characters) return std::string(text.substr(0, keep)) + "…";
    const std::size_t length = sequence_length(text, at);
    at += length == 0 ? 1 : length;
  }
  return std::string(text);
}

std::string ratio_text(std::optional<double> value) {
  if (!usable(value)) return std::string(kDash);
  const double size = std::abs(*value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return quantity_text(value);
  return with_minus(with_commas(ceg_text(*value)));
}

std::string interval_text(std::optional<double> low, std::optional<double> high) {
  if (!usable(low) || !usable(high)) return std::string(kDash);
  return ratio_text(low) + " – " + ratio_text(high);
}

std::string fixed_text(std::optional<double> value, int decimals) {
  if (!usable(value)) return std::string(kDash);
  if (std::abs(*value) >= 1e9) return quantity_text(value);
  return with_minus(with_commas(fmt::format("{:.{}f}", *value, decimals)));
}

std::string signed_text(std::optional<double> value, int decimals) {
  if (!usable(value)) return std::string(kDash);
  std::string text = fixed_text(value, decimals);
  const bool zero = text.find_first_not_of("0.,") == std::string::npos;
  return *value < 0 || zero ? text : "+" + text;
}

std::string quantity_text(std::optional<double> value) {
  if (!usable(value)) return std::string(kDash);
  const double size = std::abs(*value);
  if (size == 0) return "0";
  if (size >= 999.5 && size < 999999.5) return with_minus(with_commas(fmt::format("{:.0f}", *value)));
  if (size >= 0.01 && size < 999.5)
    return with_minus(plain_text(std::strtod(fmt::format("{:.3g}", *value).c_str(), nullptr)));
  const std::string scientific = fmt::format("{:.2e}", *value);
  const std::size_t e = scientific.find('e');
  return with_minus(scientific.substr(0, e)) + "×10" + superscript(std::atoi(scientific.c_str() + e + 1));
}

std::string plain_text(double value) {
  if (!std::isfinite(value)) return std::string(kDash);
  std::string digits = fmt::format("{:.6f}", value);
  if (std::abs(value) >= 1e9 || (value != 0 && std::abs(value) < 1e-5)) return fmt::format("{:.3g}", value);
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return with_minus(with_commas(std::move(digits)));
}

std::string counted(std::size_t count, std::string_view singular) {
  return fmt::format("{} {}{}", count, singular, count == 1 ? "" : "s");
}

AxisUnit axis_unit(CostAxis cost, double largest) {
  struct Unit {
    double from, divisor;  ///< used for axes that reach `from`; divides by `divisor`
    const char* label;
  };
  static const std::array<std::vector<Unit>, kCosts> kUnits = {{
      {{0, 1, "steps"}, {1e5, 1e3, "thousand steps"}, {1e7, 1e6, "million steps"}},
      {{0, 1, "tokens"}, {1e4, 1e3, "thousand tokens"}, {1e6, 1e6, "million tokens"}, {1e9, 1e9, "billion tokens"}},
      {{0, 1, "FLOP"},
       {1e6, 1e6, "MFLOP"},
       {1e9, 1e9, "GFLOP"},
       {1e12, 1e12, "TFLOP"},
       {1e15, 1e15, "PFLOP"},
       {1e18, 1e18, "EFLOP"},
       {1e21, 1e21, "ZFLOP"},
       {1e24, 1e24, "YFLOP"}},
      {{0, 1, "FLOP by 6·N·D"},
       {1e6, 1e6, "MFLOP by 6·N·D"},
       {1e9, 1e9, "GFLOP by 6·N·D"},
       {1e12, 1e12, "TFLOP by 6·N·D"},
       {1e15, 1e15, "PFLOP by 6·N·D"},
       {1e18, 1e18, "EFLOP by 6·N·D"},
       {1e21, 1e21, "ZFLOP by 6·N·D"},
       {1e24, 1e24, "YFLOP by 6·N·D"}},
      {{0, 1e-3, "device milliseconds"},
       {1, 1, "device seconds"},
       {600, 60, "device minutes"},
       {36000, 3600, "device hours"},
       {864000, 86400, "device days"}},
      {{0, 1, "joules"}, {1e4, 1e3, "kilojoules"}, {1e7, 1e6, "megajoules"}, {1e10, 1e9, "gigajoules"}},
  }};
  AxisUnit chosen;
  for (const Unit& unit : kUnits[static_cast<std::size_t>(cost)]) {
    if (largest >= unit.from) chosen = {unit.divisor, unit.label};
  }
  return chosen;
}

}  // namespace isoloss::ceg::report
