// The one door to toml++: every source that needs it includes this header instead.
//
// toml++ asserts things about its input that malformed files break ("[[[" for one), and with NDEBUG tells clang's
// optimiser to rely on them. Here an assertion of the parser is an exception, which parse_toml turns into the same
// input error as any other mistake in the file. All sources must agree on this, since the parser is inline code.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace isoloss::detail {
constexpr void require_in_toml(bool holds) {
  if (!holds) throw std::logic_error("malformed text");
}
}  // namespace isoloss::detail

#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_MAX_NESTED_VALUES 32
#define TOML_ASSERT(expression) ::isoloss::detail::require_in_toml(static_cast<bool>(expression))
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace isoloss {

/// Parses TOML; anything malformed is an input error at `name:line:column`, and so is what nests deeper than a
/// configuration has any use for: toml++ frees tables inside each other by functions that call themselves.
toml::table parse_toml(std::string_view text, const std::string& name);

/// The text of a configuration or suite: a regular file of at most 1 MiB, else an input error.
std::string read_toml_file(const std::filesystem::path& path);

}  // namespace isoloss
