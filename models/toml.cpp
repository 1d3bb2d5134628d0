#include "models/toml.h"

#include <fmt/format.h>

#include "kernels/core/error.h"

namespace isoloss {

toml::table parse_toml(std::string_view text, const std::string& name) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    fail_input(fmt::format("{}:{}:{}", name, error.source().begin.line, error.source().begin.column), "TOML",
               fmt::format("an error: {}", error.description()));
  } catch (const std::logic_error& error) {
    fail_input(name, "TOML", error.what());
  }
}

}  // namespace isoloss
