#include "tools/sweep/plan.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "kernels/base/error.h"
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
    const std::vector<std::int64_t>& seeds = suite_.variants[variant].seeds;
    for (const std::optional<double> rate : rates) {
      const Recipe recipe = recipe_for(cell, rate);
      if (suite_.tunes()) cell.candidates.push_back(run(cell, recipe, seeds.front(), true));
      std::vector<PlannedRun>& row = cell.runs.emplace_back();
      for (const std::int64_t seed : seeds) row.push_back(run(cell, recipe, seed, false));
    }
    return cell;
  }

 private:
  /// What runs share that differ in their seed alone. Reading a configuration takes far longer than copying it.
  struct Recipe {
    std::string who;  ///< variant and scale, for errors
    std::optional<double> rate;
    std::shared_ptr<const std::vector<Override>> settings;
    Configuration configuration;
  };

  Recipe recipe_for(const Cell& cell, std::optional<double> rate) const {
    const Scale& scale = suite_.scales[cell.scale];
    const Variant& variant = suite_.variants[cell.variant];
    const std::string who = fmt::format("{}: variant {}, scale {}", suite_.file.string(), variant.name, scale.name);
    std::vector<Override> settings = settings_of(suite_, scale, variant);
    settings.insert(settings.end(), overrides_.begin(), overrides_.end());
    check_owned_keys(settings, who, rate.has_value());
    if (rate) settings.push_back({fmt::format("optimizer.learning_rate={}", *rate), who, {}});
    Configuration configuration = load(settings, who);
    return {who, rate, std::make_shared<const std::vector<Override>>(std::move(settings)), std::move(configuration)};
  }

  PlannedRun run(const Cell& cell, const Recipe& recipe, std::int64_t seed, bool candidate) const {
    const Scale& scale = suite_.scales[cell.scale];
    const Variant& variant = suite_.variants[cell.variant];
    PlannedRun planned;
    // A search's run lies as deep as a counted one, so that the paths in its record hold when it becomes one.
    const fs::path at = folder_name(scale.name), name = folder_name(variant.name);
    planned.folder = candidate ? "tuning" / at / fmt::format("{}-lr{}", name.string(), recipe.rate.value_or(0))
                               : at / name / fmt::format("seed{}", seed);
    expect_possible_folder("--out", out_);  // first, so that a name of the suite is not blamed for it
    expect_possible_folder(recipe.who, out_ / planned.folder);
    planned.learning_rate = recipe.rate;
    planned.label = label(scale, variant, seed);
    planned.configuration = recipe.configuration;
    planned.configuration.run.run.seed = static_cast<std::uint64_t>(seed);
    planned.settings = recipe.settings;
    return planned;
  }

  /// What the suite sets by keys of its own nobody else may set: it would have no effect.
  static void check_owned_keys(const std::vector<Override>& settings, const std::string& who, bool has_rates) {
    for (const Override& own : settings) {
      const std::string_view key = key_of(own.text);
      if (key == "run.seed") fail_input(who + ", run.seed", "the seeds in `seeds`", own.text);
      if (has_rates && key == "optimizer.learning_rate") {
        fail_input(fmt::format("{}, {}", who, key), "it either here or in `learning_rates`", "both");
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

std::string config_text(const Suite& suite, const PlannedRun& run, const fs::path& out) {
  const fs::path folder = out / run.folder;
  std::vector<std::pair<std::string, std::string>> values;
  for (const Override& setting : *run.settings) {
    const auto equals = setting.text.find('=');
    const std::string key(key_of(setting.text));
    std::erase_if(values, [&key](const auto& earlier) { return earlier.first == key; });
    values.emplace_back(
        key, value_text(key, trimmed(std::string_view(setting.text).substr(equals + 1)), setting.folder, folder));
  }
  const fs::path extends = suite.extends;
  const std::string base =
      (extends.is_absolute() ? extends.lexically_relative(absolute_path(folder)) : extends).string();
  std::string text = fmt::format("extends = {}\n", quoted(base));
  for (const auto& [key, value] : values) text += fmt::format("{} = {}\n", key, value);
  return text + fmt::format("run.seed = {}\n", run.configuration.run.run.seed);
}

double work_of(const Configuration& configuration) {
  const ModelSpec& m = configuration.model;
  const double width = static_cast<double>(m.width), layers = static_cast<double>(m.layers);
  const double per_token = layers * width * (12 * width + static_cast<double>(m.context)) +
                           width * static_cast<double>(m.vocab > 0 ? m.vocab : 4096);
  return per_token * static_cast<double>(configuration.run.run.batch_tokens) *
         static_cast<double>(configuration.run.run.steps);
}

std::vector<std::string> surprises(const Plan& plan) {
  const Suite& suite = plan.suite;
  std::map<std::string, std::string> first;        // by configuration: the cell that had it first
  std::map<std::size_t, std::string> of_baseline;  // by scale: the configuration
  const auto text_of = [](const Cell& cell) {
    Configuration configuration = cell.runs.front().front().configuration;
    configuration.run.run.seed = 0;
    return to_json(configuration, "");
  };
  for (const Cell& cell : plan.cells) {
    if (suite.variants[cell.variant].name == suite.baseline().name) of_baseline[cell.scale] = text_of(cell);
  }
  std::vector<std::string> found;
  for (const Cell& cell : plan.cells) {
    const Variant& variant = suite.variants[cell.variant];
    const std::string name = fmt::format("variant `{}` at scale `{}`", variant.name, suite.scales[cell.scale].name);
    const std::string text = text_of(cell);
    if (variant.variant_class == "baseline" && variant.name != suite.baseline().name) {
      if (text == of_baseline[cell.scale]) continue;
      found.push_back(name + " is an A/A arm, but not the baseline once more: what it shows is more than noise");
    } else if (const auto [same, is_new] = first.try_emplace(text, name); !is_new) {
      found.push_back(fmt::format("{} has the configuration of {}: its runs repeat those", name, same->second));
    }
  }
  return found;
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
