// The table of configuration keys: for each its name, what it takes, and how it is read and written. TOML, `--set` and
// JSON all go through it, so a key exists in all three or in none.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "models/config.h"

namespace isoloss {

/// A value as TOML and JSON have it, before it is a key's own type.
using ConfigValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;
std::string text_of(const ConfigValue& value);  ///< for messages

struct ConfigKey {
  std::string name;      ///< "model.norm"
  std::string expected;  ///< what a message says: "layernorm, rmsnorm or none"
  bool is_text;          ///< takes a string, so `--set` takes its value literally
  bool is_path;          ///< takes paths, which are relative to the file that names them
  /// Stores the value; false when type or range do not fit.
  std::function<bool(Configuration&, const ConfigValue&)> set;
  std::function<ConfigValue(const Configuration&)> get;
  /// What a run had whose manifest was written before the key existed; nothing for keys that were always there.
  std::optional<ConfigValue> before = {};

  /// The key as one that came later, with what was in its place before.
  ConfigKey since(ConfigValue value) && {
    before = std::move(value);
    return std::move(*this);
  }
};

/// All keys of the contract, in its order; keys of one table stand together.
const std::vector<ConfigKey>& config_keys();

/// The key of that name; an unknown one is an input error at `where` that suggests the nearest.
const ConfigKey& find_config_key(std::string_view name, std::string_view where);

/// The candidate with the smallest edit distance to `name`, "" when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace isoloss
