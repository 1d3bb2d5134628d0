#include "tools/common/usage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/utf8.h"

namespace isoloss {

namespace {
constexpr std::string_view kExpected = "expected ";

template <class Number>
bool parse(const std::string& text, Number& value) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size();
}

/// A check whose error is the second half of a line; the name stays empty, so that --help shows the type alone.
template <class Accepts>
CLI::Validator expecting(std::string expected, Accepts accepts) {
  return CLI::Validator(
      [expected = std::move(expected), accepts](std::string& text) {
        return accepts(text) ? std::string()
                             : fmt::format("{}{}, got {}", kExpected, expected, text.empty() ? "nothing" : text);
      },
      "");
}

/// Cuts `mark` and what follows off; false where `text` does not hold it.
bool cut(std::string_view& text, std::string_view mark, std::string_view& rest) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return false;
  rest = text.substr(at + mark.size());
  text = text.substr(0, at);
  return true;
}
}  // namespace

CLI::Validator whole_number(std::uint64_t lowest, std::uint64_t highest) {
  const bool open = highest >= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return expecting(open ? fmt::format("a whole number of at least {}", lowest)
                        : fmt::format("a whole number from {} to {}", lowest, highest),
                   [lowest, highest](const std::string& text) {
                     std::uint64_t value = 0;
                     return parse(text, value) && value >= lowest && value <= highest;
                   });
}

CLI::Validator some_path() {
  return expecting("a path", [](const std::string& text) { return !text.empty(); });
}

CLI::Validator number_from(double lowest) {
  return expecting(fmt::format("a number of at least {}", lowest), [lowest](const std::string& text) {
    double value = 0;
    return parse(text, value) && std::isfinite(value) && value >= lowest;
  });
}

CLI::Validator one_of(std::initializer_list<std::string_view> words) {
  const std::vector<std::string> list(words.begin(), words.end());
  const std::string expected = fmt::format("{} or {}", fmt::join(list.begin(), list.end() - 1, ", "), list.back());
  return expecting(expected,
                   [list](const std::string& text) { return std::find(list.begin(), list.end(), text) != list.end(); });
}

void expect_utf8(std::string_view where, std::string_view path) {
  for (std::string_view rest = path; !rest.empty();) {
    const int bytes = decode_utf8(rest).bytes;
    if (bytes == 0) fail_input(where, "a path in UTF-8", fmt::format("{}", path));
    rest.remove_prefix(static_cast<std::size_t>(bytes));
  }
}

void expect_possible_folder(std::string_view where, const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  // "/checkpoints/step_0000000000.tmp/optimizer.safetensors.tmp", and some more.
  constexpr std::size_t kInside = 128;
  fs::path present = path;
  std::error_code problem;
  while (!present.empty() && present != present.parent_path() && !fs::exists(present, problem)) {
    present = present.parent_path();
  }
  const long found = ::pathconf(present.empty() ? "." : present.c_str(), _PC_NAME_MAX);
  const std::size_t longest = found > 0 ? static_cast<std::size_t>(found) : NAME_MAX;
  for (const fs::path& part : path) {
    if (part.native().size() > longest) {
      fail_input(where, fmt::format("names of at most {} bytes", longest),
                 fmt::format("{} of {}", part.string(), part.native().size()));
    }
  }
  const std::size_t bytes = fs::absolute(path).lexically_normal().native().size();
  if (bytes + kInside > PATH_MAX) {
    fail_input(where, fmt::format("a path of at most {} bytes", PATH_MAX - kInside),
               fmt::format("{} of {}", path.string(), bytes));
  }
}

void fail_usage(std::string_view program, const CLI::ParseError& wrong) {
  const std::string message = wrong.what();
  std::string_view where = message, rest, got;
  const auto fail = [&](std::string_view expected, std::string_view what) {
    fail_input(where, expected, fmt::format("{}; see {} --help", what, program));
  };
  if (dynamic_cast<const CLI::RequiredError*>(&wrong) != nullptr && cut(where, " is required", rest)) {
    fail("a value", "nothing");
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&wrong) != nullptr && cut(where, " not expected: ", rest)) {
    where = rest;
    fail(fmt::format("options and arguments of {}", program), "another");
  }
  if (dynamic_cast<const CLI::ConversionError*>(&wrong) != nullptr && cut(where, "Could not convert: ", rest)) {
    where = rest;
    if (cut(where, " = ", got)) fail("a number", got);
  }
  if (dynamic_cast<const CLI::ValidationError*>(&wrong) != nullptr && cut(where, ": ", rest)) {
    std::string_view expected = rest;
    if (expected.starts_with(kExpected) && cut(expected, ", got ", got)) {
      fail(expected.substr(kExpected.size()), got);
    }
    fail("another value", rest);
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&wrong) != nullptr && cut(where, ": ", rest)) {
    if (cut(rest, "At Most 1 required but received ", got)) fail("it once", fmt::format("it {} times", got));
    fail("a value", "none");
  }
  where = program;
  fail("other usage", message);
  std::abort();  // fail() does not return
}

}  // namespace isoloss
