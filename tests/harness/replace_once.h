// A bug planted in a source: one piece of its text replaced by another.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace isoloss::test {

/// How often `part`, which is not empty, begins in `text`.
inline std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// `text` with its first `from`, which must be there, replaced by `to`.
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace isoloss::test
