// The configuration in manifest.json, and the vocabulary beside the shards.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "data/meta.h"
#include "data/shard.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "models/config.h"
#include "models/config_check.h"
#include "models/config_keys.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

nlohmann::ordered_json json_of(const ConfigValue& value) {
  return std::visit([](const auto& typed) -> nlohmann::ordered_json { return typed; }, value);
}

/// Nothing when JSON holds a type that no key takes.
std::optional<ConfigValue> value_of(const nlohmann::json& json) {
  if (json.is_boolean()) return ConfigValue(json.get<bool>());
  if (const auto whole = integer_in<std::int64_t>(json)) return ConfigValue(*whole);
  if (json.is_number_integer()) return std::nullopt;
  if (json.is_number_float()) return ConfigValue(json.get<double>());
  if (json.is_string()) return ConfigValue(json.get<std::string>());
  if (!json.is_array()) return std::nullopt;
  std::vector<std::string> list;
  for (const nlohmann::json& element : json) {
    if (!element.is_string()) return std::nullopt;
    list.push_back(element.get<std::string>());
  }
  return ConfigValue(std::move(list));
}

fs::path absolute_folder(const fs::path& folder) {
  return (folder.empty() ? fs::current_path() : fs::absolute(folder)).lexically_normal();
}

/// Relative paths get another folder to start from; absolute ones stay.
std::vector<std::string> moved(const std::vector<std::string>& paths, const fs::path& from, const fs::path& to) {
  std::vector<std::string> result;
  for (const std::string& path : paths) {
    const fs::path full = (absolute_folder(from) / path).lexically_normal();
    result.push_back(fs::path(path).is_absolute() ? path : full.lexically_relative(absolute_folder(to)).string());
  }
  return result;
}

const nlohmann::json& member(const nlohmann::json& object, std::string_view name, std::string_view where,
                             const std::string& path) {
  const auto found = object.find(name);
  if (found == object.end()) fail_input(where, fmt::format("the key {}", path), "none");
  return *found;
}

}  // namespace

std::string to_json(const Configuration& configuration, const fs::path& folder) {
  nlohmann::ordered_json json;
  for (const ConfigKey& key : config_keys()) {
    const std::size_t dot = key.name.find('.');
    ConfigValue value = key.get(configuration);
    if (key.is_path) value = moved(std::get<std::vector<std::string>>(value), {}, folder);
    json[key.name.substr(0, dot)][key.name.substr(dot + 1)] = json_of(value);
  }
  try {
    return json.dump(2);
  } catch (const nlohmann::json::type_error&) {
    fail_input("data", "paths in UTF-8", "other bytes");
  }
}

namespace {

Configuration from_parsed(const nlohmann::json& json, const fs::path& folder, std::string_view where) {
  if (!json.is_object()) fail_input(where, "a JSON object with the configuration", "something else");
  Configuration configuration;
  for (const auto& [table, keys] : json.items()) {
    if (!keys.is_object()) fail_input(where, fmt::format("an object {}", table), "something else");
    for (const auto& item : keys.items()) find_config_key(table + "." + item.key(), where);
  }
  for (const ConfigKey& key : config_keys()) {
    const std::size_t dot = key.name.find('.');
    const std::string_view name = key.name;
    const nlohmann::json& table = member(json, name.substr(0, dot), where, key.name);
    std::optional<ConfigValue> value = key.before;
    if (!key.before || table.contains(name.substr(dot + 1))) {
      value = value_of(member(table, name.substr(dot + 1), where, key.name));
    }
    if (value && key.is_path) {
      if (const auto* paths = std::get_if<std::vector<std::string>>(&*value)) value = moved(*paths, folder, {});
    }
    if (!value || !key.set(configuration, *value)) {
      fail_input(fmt::format("{} {}", where, key.name), key.expected, value ? text_of(*value) : "something else");
    }
  }
  check_configuration(configuration);
  return configuration;
}

}  // namespace

Configuration from_json(std::string_view text, const fs::path& folder, std::string_view where) {
  return from_parsed(parse_json(text, where), folder, where);
}

Configuration configuration_of_run(const fs::path& folder) {
  const fs::path path = folder / "manifest.json";
  const nlohmann::json manifest = parse_json(read_file(path), path.string());
  if (!manifest.is_object()) fail_input(path.string(), "a JSON object", "something else");
  return from_parsed(member(manifest, "config", path.string(), "config"), folder, path.string());
}

std::string resolve_vocab(Configuration& configuration, const std::vector<fs::path>& shards,
                          const TokenizerRule& rule) {
  std::vector<fs::path> files = shards;
  if (files.empty()) {
    const auto add = [&](const std::vector<std::string>& patterns, std::string_view where) {
      if (patterns.empty()) return;
      for (fs::path& file : expand_shards(patterns, where)) files.push_back(std::move(file));
    };
    add(configuration.run.data.train, "data.train");
    add(configuration.run.data.val, "data.val");
  }
  std::int64_t& vocab = configuration.model.vocab;
  std::string said_by = "model.vocab";
  std::string tokenizer, known = rule.sha256, owner = rule.owner;
  const bool takes_largest = rule.any && vocab == 0;
  std::set<fs::path> folders;
  for (const fs::path& file : files) {
    if (!folders.insert(file.parent_path()).second) continue;
    const std::optional<std::uint32_t> size = vocabulary_beside(file);
    if (!size) continue;
    const std::string sha256 = tokenizer_beside(file, rule.any);
    if (!rule.any && !sha256.empty() && !known.empty() && sha256 != known) {
      fail_input(file.string(), fmt::format("tokens of the tokenizer of {}, of SHA-256 {}", owner, known),
                 fmt::format("those of another one, of SHA-256 {}; --any-tokenizer takes them", sha256));
    }
    if (tokenizer.empty()) tokenizer = sha256;
    if (known.empty()) known = sha256, owner = file.string();
    if (rule.any) {
      if (takes_largest) vocab = std::max<std::int64_t>(vocab, *size);
    } else if (vocab == 0) {
      vocab = *size;
      said_by = fmt::format("the tokenizer beside {}", file.string());
    } else if (vocab != *size) {
      fail_input(file.string(), fmt::format("tokens of a vocabulary of {}, as {} says", vocab, said_by),
                 fmt::format("a tokenizer of {} beside it", *size));
    }
  }
  if (vocab == 0) {
    fail_input("model.vocab", "a number, since neither tokenizer.json nor meta.json beside the shards tells one",
               "none");
  }
  return tokenizer;
}

}  // namespace isoloss
