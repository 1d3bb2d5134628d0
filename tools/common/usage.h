// What the command line may hold: checks for options, and wrong usage told the way every other error is.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <string_view>

namespace isoloss {

/// Checks for `add_option(…)->check(…)`; what they refuse reads `[--option] expected …, got …`.
CLI::Validator whole_number(std::uint64_t lowest, std::uint64_t highest);
/// 0 and above, as far as `Integer` goes.
template <class Integer>
CLI::Validator whole_number() {
  return whole_number(0, static_cast<std::uint64_t>(std::numeric_limits<Integer>::max()));
}
CLI::Validator some_path();                 ///< not empty, as "$FILE" is where FILE was never set
CLI::Validator number_from(double lowest);  ///< finite
CLI::Validator one_of(std::initializer_list<std::string_view> words);  ///< two or more

/// An input error of `where` unless `path` is UTF-8, as the JSON of records is.
void expect_utf8(std::string_view where, std::string_view path);

/// An input error of `where` unless a folder `path` can be made as far as its name goes: no part of it is longer than
/// its file system takes, and there is room for the longest path that is written inside a folder.
void expect_possible_folder(std::string_view where, const std::filesystem::path& path);

/// Throws what CLI11 found wrong with the command line of `program` as an input error with a pointer to --help.
[[noreturn]] void fail_usage(std::string_view program, const CLI::ParseError& wrong);

}  // namespace isoloss
