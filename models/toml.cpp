#include "models/toml.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace {

constexpr std::size_t kLargestFile = std::size_t{1} << 20;
constexpr int kMostDots = 16;  ///< of a dotted key, which toml++ has no limit for; every dot is a table inside another

/// The length of the string, comment or character at the start of `text`, so that dots inside strings and comments do
/// not count. A string that does not end where it should stops the parser, too.
std::size_t length_of_token(std::string_view text) {
  const char quote = text.front();
  if (quote == '#') return std::min(text.find('\n'), text.size());
  if (quote != '"' && quote != '\'') return 1;
  const bool escapes = quote == '"';
  const std::string three(3, quote);
  const bool many_lines = text.starts_with(three);
  for (std::size_t i = many_lines ? 3 : 1; i < text.size(); ++i) {
    if (escapes && text[i] == '\\') {
      ++i;
    } else if (many_lines ? text.substr(i).starts_with(three) : text[i] == quote || text[i] == '\n') {
      return i + (many_lines ? 3 : 1);
    }
  }
  return text.size();
}

void expect_shallow_keys(std::string_view text, const std::string& name) {
  int line = 1, dots = 0;
  for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
    length = length_of_token(text.substr(at));
    const std::string_view token = text.substr(at, length);
    line += static_cast<int>(std::count(token.begin(), token.end(), '\n'));
    if (token == ".") {
      if (++dots > kMostDots) {
        fail_input(fmt::format("{}:{}", name, line), "keys of a few parts",
                   fmt::format("one with more than {} dots", kMostDots));
      }
    } else if (token.find_first_of("=,[{\n") == 0) {
      dots = 0;
    }
  }
}

}  // namespace

toml::table parse_toml(std::string_view text, const std::string& name) {
  expect_shallow_keys(text, name);
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    fail_input(fmt::format("{}:{}:{}", name, error.source().begin.line, error.source().begin.column), "TOML",
               fmt::format("an error: {}", error.description()));
  } catch (const std::logic_error& error) {
    fail_input(name, "TOML", error.what());
  }
}

std::string read_toml_file(const std::filesystem::path& path) { return read_file(path, kLargestFile); }

}  // namespace isoloss
