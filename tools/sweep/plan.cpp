#include "tools/sweep/plan.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "kernels/core/error.h"
#include "models/toml.h"
#include "tools/common/usage.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&out](const auto& value) { out << value; });
  return out.str();
}

std::string quoted(const std::string& text) { return shown(toml::value<std::string>(text)); }

fs::path absolute_path(const fs::path& path) { return fs::absolute(path).lexically_normal(); }

/// `path`, meant from `from`, as it is written in a file in `to`.
std::string moved_path(const std::string& path, const fs::path& from, const fs::path& to) {
  if (fs::path(path).is_absolute()) return path;
  return absolute_path(from / path).lexically_relative(absolute_path(to)).string();
}

/// The value of an override as TOML: what parses stays, a bare word becomes a string.
std::string value_text(const std::string& key, const std::string& text, const fs::path& from, const fs::path& to) {
  toml::table parsed;
  try {
    parsed = parse_toml("value = " + text, key);
  } catch (const Error&) {
    parsed = toml::table{{"value", text}};
  }
  if (parsed.size() != 1) parsed = toml::table{{"value", text}};
  toml::node& value = *parsed.get("value");
  if (key == "data.train" || key == "data.val") {
    const auto move = [&from, &to](toml::node& node) {
      if (auto* path = node.as_string()) *path = moved_path(path->get(), from, to);
    };
    move(value);
    if (toml::array* paths = value.as_array()) {
      for (toml::node& path : *paths) move(path);
    }
  }
  return shown(value);
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

/// The settings that a cell's runs share, in the order in which they take effect.
std::vector<Override> settings_of(const Suite& suite, const Scale& scale, const Variant& variant) {
  std::vector<Override> all = suite.settings;
  const auto add = [&all](const std::vector<Override>& more) { all.insert(all.end(), more.begin(), more.end()); };
  add(suite.baseline().settings);
  add(scale.settings);
  if (variant.name != suite.baseline().name) add(variant.settings);
  return all;
}

class Builder {
 public:
  Builder(const Suite& suite, const std::vector<Override>& overrides, const fs::path& out)
      : suite_(suite), overrides_(overrides), out_(out) {}

  Cell cell(std::size_t scale, std::size_t variant) const {
    Cell cell{scale, variant, {}, {}};
    std::vector<std::optional<double>> rates(suite_.learning_rates.begin(), suite_.learning_rates.end());
    if (rates.empty()) rates.push_back(std::nullopt);
    for (const std::optional<double> rate : rates) {
      if (suite_.tunes()) cell.candidates.push_back(run(cell, suite_.variants[variant].seeds.front(), rate, true));
      std::vector<PlannedRun>& row = cell.runs.emplace_back();
      for (const std::int64_t seed : suite_.variants[variant].seeds) row.push_back(run(cell, seed, rate, false));
    }
    return cell;
  }

 private:
  PlannedRun run(const Cell& cell, std::int64_t seed, std::optional<double> rate, bool candidate) const {
    const Scale& scale = suite_.scales[cell.scale];
    const Variant& variant = suite_.variants[cell.variant];
    const std::string who = fmt::format("{}: variant {}, scale {}", suite_.file.string(), variant.name, scale.name);
    std::vector<Override> settings = settings_of(suite_, scale, variant);
    settings.insert(settings.end(), overrides_.begin(), overrides_.end());
    check_owned_keys(settings, who, rate.has_value());
    settings.push_back({fmt::format("run.seed={}", seed), who, {}});
    if (rate) settings.push_back({fmt::format("optimizer.learning_rate={}", *rate), who, {}});

    PlannedRun planned;
    // A search's run lies as deep as a counted one, so that the paths in its record hold when it becomes one.
    const fs::path at = folder_name(scale.name), name = folder_name(variant.name);
    planned.folder = candidate ? "tuning" / at / fmt::format("{}-lr{}", name.string(), rate.value_or(0))
                               : at / name / fmt::format("seed{}", seed);
    expect_possible_folder("--out", out_);  // first, so that a name of the suite is not blamed for it
    expect_possible_folder(who, out_ / planned.folder);
    planned.learning_rate = rate;
    planned.label = label(scale, variant, seed);
    planned.configuration = load(settings, who);
    planned.config_text = config_text(suite_.extends, settings, out_ / planned.folder);
    return planned;
  }

  /// What the suite sets by keys of its own nobody else may set: it would have no effect.
  static void check_owned_keys(const std::vector<Override>& settings, const std::string& who, bool has_rates) {
    for (const Override& own : settings) {
      const std::string key = trimmed(own.text.substr(0, own.text.find('=')));
      if (key == "run.seed") fail_input(who + ", run.seed", "the seeds in `seeds`", own.text);
      if (has_rates && key == "optimizer.learning_rate") {
        fail_input(who + ", " + key, "it either here or in `learning_rates`", "both");
      }
    }
  }

  /// Errors about a key say which cell of the suite it was met in.
  Configuration load(const std::vector<Override>& settings, const std::string& who) const {
    try {
      return load_configuration(suite_.extends, settings);
    } catch (const Error& error) {
      std::string message = error.what();
      if (message.starts_with("[" + suite_.file.string() + ":")) throw;
      if (message.starts_with('[')) message.insert(1, who + ", ");
      throw Error(message, error.exit_code());
    }
  }

  static std::string label(const Scale& scale, const Variant& variant, std::int64_t seed) {
    nlohmann::ordered_json text = {
        {"variant", variant.name}, {"class", variant.variant_class}, {"scale", scale.name}, {"seed", seed}};
    if (!variant.parts.empty()) text["parts"] = variant.parts;
    return text.dump();
  }

  const Suite& suite_;
  const std::vector<Override>& overrides_;
  const fs::path& out_;
};

}  // namespace

std::string config_text(const std::string& extends, const std::vector<Override>& overrides, const fs::path& folder) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Override& setting : overrides) {
    const auto equals = setting.text.find('=');
    const std::string key = trimmed(std::string_view(setting.text).substr(0, equals));
    std::erase_if(values, [&key](const auto& earlier) { return earlier.first == key; });
    values.emplace_back(
        key, value_text(key, trimmed(std::string_view(setting.text).substr(equals + 1)), setting.folder, folder));
  }
  const bool is_file = fs::path(extends).is_absolute();
  const std::string base = is_file ? fs::path(extends).lexically_relative(absolute_path(folder)).string() : extends;
  std::string text = fmt::format("extends = {}\n", quoted(base));
  for (const auto& [key, value] : values) text += fmt::format("{} = {}\n", key, value);
  return text;
}

double work_of(const Configuration& configuration) {
  const ModelSpec& m = configuration.model;
  const double width = static_cast<double>(m.width), layers = static_cast<double>(m.layers);
  const double per_token = layers * width * (12 * width + static_cast<double>(m.context)) +
                           width * static_cast<double>(m.vocab > 0 ? m.vocab : 4096);
  return per_token * static_cast<double>(configuration.run.run.batch_tokens) *
         static_cast<double>(configuration.run.run.steps);
}

Plan make_plan(Suite suite, const std::vector<Override>& overrides, const fs::path& out) {
  Plan plan{std::move(suite), {}};
  const Builder builder(plan.suite, overrides, out);
  for (std::size_t scale = 0; scale < plan.suite.scales.size(); ++scale) {
    for (std::size_t variant = 0; variant < plan.suite.variants.size(); ++variant) {
      plan.cells.push_back(builder.cell(scale, variant));
    }
  }
  return plan;
}

}  // namespace isoloss
