#include "tools/sweep/suite.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>

#include "kernels/core/error.h"
#include "models/toml.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kClasses[] = {"baseline", "compute-independent", "compute-dependent", "systems"};
constexpr std::string_view kConfigurationTables[] = {"model", "data", "optimizer", "schedule", "run"};

/// Beginnings of the files that the sweep puts into its folder, beside the scales.
constexpr std::string_view kTaken[] = {"sweep.json", "sweep.lock", "run.lock", "run.holder"};

/// Reads typed values out of one table and knows how to say where something is wrong.
class Reader {
 public:
  Reader(const fs::path& file, const toml::table& table, std::string prefix)
      : file_(file), table_(table), prefix_(std::move(prefix)) {}

  std::string where(std::string_view key, const toml::node* node) const {
    const auto line = node != nullptr ? node->source().begin.line : table_.source().begin.line;
    return fmt::format("{}:{}: {}{}", file_.string(), line, prefix_, key);
  }

  void only(std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(keys, key.str()) == keys.end()) {
        fail_input(where(key.str(), &node), fmt::format("one of the keys {}", fmt::join(keys, ", ")), "an unknown key");
      }
    }
  }

  std::string text(std::string_view key) const {
    const toml::node* node = table_.get(key);
    const auto value = node != nullptr ? node->value_exact<std::string>() : std::nullopt;
    if (!value) fail_input(where(key, node), "a string", kind(node));
    if (value->empty()) fail_input(where(key, node), "a string", "an empty one");
    return *value;
  }

  /// The elements of an array, each through `element(node) -> optional<T>`; no two alike. Absent: empty.
  template <class T, class F>
  std::vector<T> list(std::string_view key, std::string_view expected, F element) const {
    std::vector<T> values;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return values;
    if (!node->is_array()) fail_input(where(key, node), fmt::format("an array of {}", expected), kind(node));
    for (const toml::node& item : *node->as_array()) {
      const std::optional<T> value = element(item);
      if (!value) fail_input(where(key, &item), fmt::format("an array of {}", expected), shown(item));
      if (std::ranges::find(values, *value) != values.end()) {
        fail_input(where(key, &item), "values that differ", fmt::format("{} twice", *value));
      }
      values.push_back(*value);
    }
    return values;
  }

  std::vector<std::string> texts(std::string_view key) const {
    return list<std::string>(key, "strings", [](const toml::node& n) { return n.value_exact<std::string>(); });
  }

  std::vector<Override> settings(std::string_view owner) const {
    std::vector<Override> all;
    for (std::string& text : texts("set")) all.push_back(setting(std::move(text), owner));
    return all;
  }

  Override setting(std::string text, std::string_view owner) const {
    return {std::move(text), fmt::format("{}: {}", file_.string(), owner), file_.parent_path()};
  }

 private:
  static std::string kind(const toml::node* node) {
    return node == nullptr ? "nothing" : fmt::format("{}", fmt::streamed(node->type()));
  }
  static std::string shown(const toml::node& node) {
    std::ostringstream out;
    node.visit([&out](const auto& value) { out << value; });
    return out.str();
  }

  const fs::path& file_;
  const toml::table& table_;
  std::string prefix_;
};

/// Every leaf of a configuration table as an override, so that a suite may hold configuration as any config file does.
void flatten(const toml::table& table, const std::string& prefix, const Reader& reader, std::vector<Override>& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + "." + std::string(key.str());
    if (const toml::table* inner = node.as_table()) {
      flatten(*inner, name, reader, out);
      continue;
    }
    std::ostringstream value;
    node.visit([&value](const auto& concrete) { value << concrete; });
    out.push_back(reader.setting(fmt::format("{}={}", name, value.str()), "suite"));
  }
}

template <class T>
void no_two_alike(const std::vector<T>& items, const fs::path& file, std::string_view what) {
  std::set<std::string> names, folders;
  for (const T& item : items) {
    const std::string where = fmt::format("{}: {} {}", file.string(), what, item.name);
    if (!names.insert(item.name).second) fail_input(where, "a name of its own", "a name used twice");
    const bool controls =
        std::ranges::any_of(item.name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (controls) fail_input(where, "a name without control characters", "one that has them");
    const std::string folder = folder_name(item.name);
    const bool hidden = folder.starts_with('.'), none = folder.find_first_not_of('-') == std::string::npos;
    if (hidden || none || folder == "tuning" ||
        std::ranges::any_of(kTaken, [&](auto taken) { return folder.starts_with(taken); })) {
      fail_input(where, "a name that can be a folder", fmt::format("`{}`", folder));
    }
    if (!folders.insert(folder).second) {
      fail_input(where, "a folder of its own", fmt::format("the folder `{}` of another name", folder));
    }
  }
}

/// The smallest multiple of 1000 by which seeds can be moved without meeting any of them.
std::int64_t disjoint_offset(const std::vector<std::int64_t>& seeds) {
  for (std::int64_t offset = 1000;; offset += 1000) {
    const bool meets = std::ranges::any_of(
        seeds, [&](std::int64_t seed) { return std::ranges::find(seeds, seed + offset) != seeds.end(); });
    if (!meets) return offset;
  }
}

/// Gives every variant its seeds, and the suite an A/A arm where it has none. Arms get seeds of their own, a further
/// offset each: with the baseline's seeds they would repeat its runs bit for bit and show no noise at all.
void assign_seeds(Suite& suite, const std::vector<std::int64_t>& seeds) {
  const std::string baseline = suite.baseline().name;
  const auto is_arm = [&](const Variant& v) { return v.variant_class == "baseline" && v.name != baseline; };
  if (std::ranges::none_of(suite.variants, is_arm)) {
    suite.variants.push_back({baseline + " (A/A)", "baseline", {}, {}, {}});
  }
  const std::int64_t offset = disjoint_offset(seeds);
  std::int64_t arms = 0;
  for (Variant& variant : suite.variants) {
    variant.seeds = seeds;
    if (!is_arm(variant)) continue;
    ++arms;
    for (std::int64_t& seed : variant.seeds) seed += arms * offset;
  }
}

std::vector<Scale> read_scales(const fs::path& file, const toml::table& root) {
  std::vector<Scale> scales;
  const toml::array* tables = root["scale"].as_array();
  if (tables == nullptr || tables->empty() || !tables->is_array_of_tables()) {
    fail_input(fmt::format("{}: scale", file.string()), "at least one [[scale]]", "none");
  }
  for (const toml::node& node : *tables) {
    const Reader reader(file, *node.as_table(), "scale.");
    reader.only({"name", "set"});
    const std::string name = reader.text("name");
    scales.push_back({name, reader.settings("scale " + name)});
  }
  no_two_alike(scales, file, "scale");
  return scales;
}

std::vector<Variant> read_variants(const fs::path& file, const toml::table& root) {
  std::vector<Variant> variants;
  const toml::array* tables = root["variant"].as_array();
  if (tables == nullptr || tables->empty() || !tables->is_array_of_tables()) {
    fail_input(fmt::format("{}: variant", file.string()), "at least one [[variant]]", "none");
  }
  for (const toml::node& node : *tables) {
    const Reader reader(file, *node.as_table(), "variant.");
    reader.only({"name", "class", "set", "parts"});
    const std::string name = reader.text("name"), variant_class = reader.text("class");
    if (std::ranges::find(kClasses, variant_class) == std::end(kClasses)) {
      fail_input(reader.where("class", node.as_table()->get("class")), fmt::format("{}", fmt::join(kClasses, ", ")),
                 variant_class);
    }
    variants.push_back({name, variant_class, reader.settings("variant " + name), reader.texts("parts"), {}});
  }
  for (const Variant& variant : variants) {
    for (const std::string& part : variant.parts) {
      const bool known = part != variant.name && std::ranges::any_of(variants, [&](const Variant& other) {
                           return other.name == part && other.variant_class != "baseline";
                         });
      const std::string where = fmt::format("{}: variant {}, parts", file.string(), variant.name);
      if (!known) fail_input(where, "names of other variants that are no baseline", part);
    }
  }
  const bool has_baseline =
      std::ranges::any_of(variants, [](const Variant& variant) { return variant.variant_class == "baseline"; });
  if (!has_baseline) fail_input(fmt::format("{}: variant", file.string()), "one of class `baseline`", "none");
  return variants;
}

}  // namespace

const Variant& Suite::baseline() const {
  return *std::ranges::find(variants, std::string("baseline"), &Variant::variant_class);
}

std::string folder_name(std::string_view name) {
  std::string folder;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view(".+=_-").find(c) != std::string_view::npos;
    if (plain) {
      folder += c;
    } else if (!folder.empty() && folder.back() != '-') {
      folder += '-';
    }
  }
  while (!folder.empty() && folder.back() == '-') folder.pop_back();
  return folder;
}

Suite read_suite(const fs::path& file) {
  const toml::table root = parse_toml(read_toml_file(file), file.string());
  const Reader reader(file, root, "");
  reader.only({"extends", "seeds", "learning_rates", "set", "model", "data", "optimizer", "schedule", "run", "scale",
               "variant"});
  Suite suite;
  suite.file = file;
  suite.extends = reader.text("extends");
  // A preset is a bare name; anything that looks like a file is one, beside the suite unless its path is absolute.
  if (suite.extends.find('/') != std::string::npos || suite.extends.ends_with(".toml")) {
    suite.extends = fs::absolute(file.parent_path() / suite.extends).lexically_normal().string();
  }
  for (const std::string_view name : kConfigurationTables) {
    const toml::node* node = root.get(name);
    if (node == nullptr) continue;
    if (!node->is_table()) fail_input(reader.where(name, node), "a table", "a value");
    flatten(*node->as_table(), std::string(name), reader, suite.settings);
  }
  for (Override& setting : reader.settings("suite")) suite.settings.push_back(std::move(setting));

  const auto seeds = reader.list<std::int64_t>("seeds", "whole numbers from 0", [](const toml::node& node) {
    const auto value = node.value_exact<std::int64_t>();
    return value && *value >= 0 && *value < (std::int64_t{1} << 53) ? value : std::nullopt;
  });
  if (seeds.empty()) fail_input(reader.where("seeds", root.get("seeds")), "at least one seed", "none");
  suite.learning_rates =
      reader.list<double>("learning_rates", "positive numbers", [](const toml::node& node) -> std::optional<double> {
        const auto value = node.value<double>();
        return value && std::isfinite(*value) && *value > 0 && !node.is_boolean() ? value : std::nullopt;
      });
  suite.scales = read_scales(file, root);
  suite.variants = read_variants(file, root);
  assign_seeds(suite, seeds);
  no_two_alike(suite.variants, file, "variant");
  return suite;
}

}  // namespace isoloss
