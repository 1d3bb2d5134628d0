#include "models/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "kernels/base/error.h"
#include "models/config_check.h"
#include "models/config_keys.h"
#include "models/toml.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

/// A value and where it was written.
struct Setting {
  ConfigValue value;
  std::string where;  ///< "config.toml:3 model.norm"
  fs::path folder;    ///< that its relative paths are relative to
  bool is_explicit;
};

using Settings = std::map<std::string, Setting, std::less<>>;

std::string kind_of(const toml::node& node) {
  std::ostringstream text;
  text << node.type();
  return text.str() == "none" ? "nothing" : "a value of TOML type " + text.str();
}

/// Nothing when the key tables know no such type (dates, tables, arrays of other things than strings).
std::optional<ConfigValue> value_of(const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return ConfigValue(flag->get());
  if (const auto* whole = node.as_integer()) return ConfigValue(whole->get());
  if (const auto* real = node.as_floating_point()) return ConfigValue(real->get());
  if (const auto* text = node.as_string()) return ConfigValue(text->get());
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<std::string> list;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr) return std::nullopt;
    list.push_back(text->get());
  }
  return ConfigValue(std::move(list));
}

/// One file of the chain that `extends` makes.
struct Source {
  std::string name;  ///< path or "preset nano"
  std::string text;
  fs::path folder;
  bool is_preset;
};

bool is_preset_name(std::string_view name) {
  const std::vector<std::string> names = preset_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// `name` as a preset, or as a file relative to `folder`.
Source open_source(const std::string& name, const fs::path& folder, const std::string& where) {
  if (is_preset_name(name)) return {"preset " + name, std::string(preset_text(name)), {}, true};
  const fs::path path = (folder / name).lexically_normal();
  std::error_code ignored;
  if (!fs::exists(path, ignored) && name.find('/') == std::string::npos && fs::path(name).extension() != ".toml") {
    const std::vector<std::string> names = preset_names();
    const std::string nearest = nearest_name(name, names);
    fail_input(where,
               nearest.empty() ? fmt::format("a file or one of the presets {}", fmt::join(names, ", "))
                               : fmt::format("a file or a preset (did you mean {}?)", nearest),
               name);
  }
  if (!fs::exists(path, ignored)) fail_input(where, "a configuration file", path.string() + ", which is not there");
  return {path.string(), read_toml_file(path), path.parent_path(), false};
}

/// Adds the leaves of `table` to `settings`, replacing those of earlier layers.
void collect(const toml::table& table, const std::string& prefix, const Source& source, bool is_explicit,
             Settings& settings) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (name == "extends") continue;
    const std::string line = fmt::format("{}:{}", source.name, node.source().begin.line);
    if (const auto* nested = node.as_table(); nested != nullptr && prefix.empty()) {
      const auto& keys = config_keys();
      if (std::none_of(keys.begin(), keys.end(),
                       [&](const ConfigKey& known) { return known.name.starts_with(name + "."); })) {
        const std::string nearest = nearest_name(name, {"model", "data", "optimizer", "schedule", "run"});
        fail_input(line,
                   nearest.empty() ? "one of the tables model, data, optimizer, schedule, run"
                                   : fmt::format("a known table (did you mean {}?)", nearest),
                   "[" + name + "]");
      }
      collect(*nested, name + ".", source, is_explicit, settings);
      continue;
    }
    const ConfigKey& known = find_config_key(name, line);
    std::optional<ConfigValue> value = value_of(node);
    const std::string where = line + " " + name;
    if (!value) fail_input(where, known.expected, kind_of(node));
    settings[name] = {*std::move(value), where, source.folder, is_explicit};
  }
}

/// The file and everything it extends, farthest first.
void collect_chain(const Source& source, bool is_explicit, std::vector<std::string>& chain, Settings& settings) {
  std::error_code ignored;
  const fs::path canonical = source.is_preset ? fs::path(source.name) : fs::weakly_canonical(source.name, ignored);
  if (std::find(chain.begin(), chain.end(), canonical.string()) != chain.end()) {
    fail_input(chain.back() + " extends", "a chain of files without a cycle",
               fmt::format("{} for the second time", source.name));
  }
  chain.push_back(canonical.string());
  const toml::table table = parse_toml(source.text, source.name);
  if (const toml::node* base = table.get("extends")) {
    const std::string where = fmt::format("{}:{} extends", source.name, base->source().begin.line);
    const auto* name = base->as_string();
    if (name == nullptr || name->get().empty()) fail_input(where, "the name of a preset or a path", kind_of(*base));
    collect_chain(open_source(name->get(), source.folder, where), false, chain, settings);
  }
  collect(table, "", source, is_explicit && !source.is_preset, settings);
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

/// The TOML value of `text`, or nothing when it is not exactly one.
std::optional<ConfigValue> toml_value(const std::string& text, const std::string& where) {
  try {
    const toml::table table = parse_toml("value = " + text, where);
    return table.size() == 1 && table.contains("value") ? value_of(*table.get("value")) : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;  // a bare word
  }
}

void collect_override(const Override& given, Settings& settings) {
  const std::string where = given.where + " " + given.text;
  const std::size_t equals = given.text.find('=');
  if (equals == std::string::npos) fail_input(where, "key=value", "no equals sign");
  const std::string name = trimmed(std::string_view(given.text).substr(0, equals));
  const std::string text = trimmed(std::string_view(given.text).substr(equals + 1));
  const ConfigKey& key = find_config_key(name, where);
  if (text.empty()) fail_input(where, key.expected, "nothing");
  std::optional<ConfigValue> value = toml_value(text, where);
  const bool is_text = value && (std::holds_alternative<std::string>(*value) ||
                                 std::holds_alternative<std::vector<std::string>>(*value));
  if (!value || (key.is_text && !is_text)) value = text;
  settings[name] = {*std::move(value), where, given.folder, true};
}

/// Paths of a file in `folder`, as seen from the current folder. What was written as relative stays relative, even when
/// the file itself was named by an absolute path, so that a run's record does not depend on the place.
ConfigValue with_folder(const ConfigValue& value, const fs::path& folder) {
  const auto relocate = [&](const std::string& path) {
    if (path.empty() || fs::path(path).is_absolute()) return path;
    const fs::path full = (folder / path).lexically_normal();
    return (full.is_absolute() ? full.lexically_proximate(fs::current_path()) : full).string();
  };
  if (const auto* one = std::get_if<std::string>(&value)) return relocate(*one);
  if (const auto* many = std::get_if<std::vector<std::string>>(&value)) {
    std::vector<std::string> list;
    std::transform(many->begin(), many->end(), std::back_inserter(list), relocate);
    return list;
  }
  return value;
}

}  // namespace

Configuration load_configuration(const std::string& file_or_preset, const std::vector<Override>& overrides) {
  Settings settings;
  std::vector<std::string> chain;
  collect_chain(open_source(file_or_preset, {}, file_or_preset), true, chain, settings);
  for (const Override& given : overrides) collect_override(given, settings);

  Configuration configuration;
  std::set<std::string> present;
  for (const auto& [name, setting] : settings) {
    const ConfigKey& key = find_config_key(name, setting.where);
    const ConfigValue value = key.is_path ? with_folder(setting.value, setting.folder) : setting.value;
    if (!key.set(configuration, value)) fail_input(setting.where, key.expected, text_of(setting.value));
    present.insert(name);
    if (setting.is_explicit) configuration.explicit_keys.insert(name);
  }
  fill_defaults(configuration, present);
  check_configuration(configuration);
  return configuration;
}

}  // namespace isoloss
