#include "tests/architecture/quotes.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <string_view>

namespace isoloss {

namespace fs = std::filesystem;

namespace {

std::string without_blanks(std::string_view line) {
  const auto first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return std::string(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream text(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(without_blanks(line));
  return lines;
}

/// FILE of "… From `FILE`:", the end of a line.
std::optional<std::string> quoted_file(std::string_view line) {
  constexpr std::string_view from = "From `";
  const auto start = line.rfind(from);
  if (start == std::string_view::npos || !line.ends_with("`:")) return std::nullopt;
  const auto begin = start + from.size();
  return std::string(line.substr(begin, line.size() - 2 - begin));
}

struct Quote {
  std::string document, file;
  std::size_t first_line;  ///< of the block's content, counted from 1
  std::vector<std::string> lines;
};

std::vector<Quote> quotes_in(const fs::path& document, const fs::path& root) {
  std::vector<Quote> quotes;
  const std::vector<std::string> lines = lines_of(document);
  std::optional<std::string> file;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].starts_with("```")) {
      const auto end = std::find(lines.begin() + static_cast<std::ptrdiff_t>(i) + 1, lines.end(), "```");
      const auto begin = lines.begin() + static_cast<std::ptrdiff_t>(i) + 1;
      if (file) quotes.push_back({document.lexically_relative(root).generic_string(), *file, i + 2, {begin, end}});
      i = static_cast<std::size_t>(end - lines.begin());
      file.reset();
    } else if (!lines[i].empty()) {
      file = quoted_file(lines[i]);
    }
  }
  return quotes;
}

void each_quote(const fs::path& root, const std::function<void(const Quote&)>& visit) {
  std::vector<fs::path> documents;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory() && (name.starts_with('.') || name.starts_with("build") || name == "runs")) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && entry->path().extension() == ".md") {
      documents.push_back(entry->path());
    }
  }
  std::ranges::sort(documents);
  for (const fs::path& document : documents) {
    for (const Quote& quote : quotes_in(document, root)) visit(quote);
  }
}

}  // namespace

std::vector<std::string> stale_quotes(const fs::path& root) {
  std::vector<std::string> stale;
  each_quote(root, [&](const Quote& quote) {
    const std::vector<std::string> source = lines_of(root / quote.file);
    auto at = source.begin();
    for (std::size_t i = 0; i < quote.lines.size(); ++i) {
      const std::string& line = quote.lines[i];
      if (line.empty() || line == "…") continue;
      const auto found = std::find(at, source.end(), line);
      if (found == source.end()) {
        stale.push_back(
            fmt::format("{}:{}: {} has no `{}` there", quote.document, quote.first_line + i, quote.file, line));
        return;
      }
      at = found + 1;
    }
  });
  return stale;
}

int count_quotes(const fs::path& root) {
  int count = 0;
  each_quote(root, [&](const Quote&) { ++count; });
  return count;
}

}  // namespace isoloss
