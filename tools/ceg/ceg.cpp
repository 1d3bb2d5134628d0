#include "tools/ceg/ceg.h"

#include <algorithm>
#include <array>
#include <utility>

namespace isoloss::ceg {

std::optional<Format> format_from_name(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Format>, 5> names{{{"text", Format::text},
                                                                             {"markdown", Format::markdown},
                                                                             {"csv", Format::csv},
                                                                             {"json", Format::json},
                                                                             {"latex", Format::latex}}};
  const auto found = std::ranges::find(names, name, [](const auto& entry) { return entry.first; });
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

std::string text_of(const Analysis& analysis, Format format, const TextStyle& style) {
  switch (format) {
    case Format::text:
      break;
    case Format::markdown:
      return as_markdown(analysis);
    case Format::csv:
      return as_csv(analysis);
    case Format::json:
      return as_json(analysis);
    case Format::latex:
      return as_latex(analysis);
  }
  return as_text(analysis, style);
}

}  // namespace isoloss::ceg
