#include "tools/sweep/suite.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>

#include "kernels/base/error.h"
#include "kernels/base/name.h"
#include "models/toml.h"
#include "tools/common/shared_files.h"

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
    std::set<T> seen;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return values;
    if (!node->is_array()) fail_input(where(key, node), fmt::format("an array of {}", expected), kind(node));
    for (const toml::node& item : *node->as_array()) {
      const std::optional<T> value = element(item);
      if (!value) fail_input(where(key, &item), fmt::format("an array of {}", expected), shown(item));
      if (!seen.insert(*value).second) {
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
    std::set<std::string, std::less<>> keys;
    for (std::string& text : texts("set")) {
      if (!keys.emplace(key_of(text)).second) {
        fail_input(where("set", table_.get("set")), "each key once", fmt::format("{} twice", key_of(text)));
      }
      all.push_back(setting(std::move(text), owner));
    }
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
    check_name(item.name, where, "name");  // what ceg, which reads it, takes
    const std::string folder = folder_name(item.name);
    if (folder.empty()) fail_input(where, "a name that holds a letter or digit of ASCII, for its folder", item.name);
    if (folder.starts_with('.') || folder == "tuning" ||
        std::ranges::any_of(kTaken, [&](auto taken) { return folder.starts_with(taken); })) {
      fail_input(where, "a name that can be a folder", fmt::format("`{}`", folder));
    }
    if (!folders.insert(folder).second) {
      fail_input(where, "a folder of its own", fmt::format("the folder `{}` of another name", folder));
    }
  }
}

/// The smallest multiple of 1000 by which seeds can be moved `times` times without meeting any that was there.
std::int64_t disjoint_offset(std::vector<std::int64_t> seeds, std::int64_t times) {
  std::ranges::sort(seeds);
  const auto meets = [&](std::int64_t distance) {
    return std::ranges::any_of(seeds,
                               [&](std::int64_t seed) { return std::ranges::binary_search(seeds, seed + distance); });
  };
  for (std::int64_t offset = 1000;; offset += 1000) {
    std::int64_t free = 0;
    while (free < times && !meets((free + 1) * offset)) ++free;
    if (free == times) return offset;
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
  const std::int64_t offset = disjoint_offset(seeds, std::ranges::count_if(suite.variants, is_arm));
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

/// Whether a variant is, by way of its parts and theirs, a part of itself.
bool holds_itself(const std::vector<Variant>& variants, const Variant& variant) {
  std::set<std::string> seen;
  std::vector<std::string> open = variant.parts;
  while (!open.empty()) {
    const std::string part = std::move(open.back());
    open.pop_back();
    if (part == variant.name) return true;
    if (!seen.insert(part).second) continue;
    const auto other = std::ranges::find(variants, part, &Variant::name);
    if (other != variants.end()) open.insert(open.end(), other->parts.begin(), other->parts.end());
  }
  return false;
}

void check_parts(const fs::path& file, const std::vector<Variant>& variants) {
  for (const Variant& variant : variants) {
    const std::string where = fmt::format("{}: variant {}, parts", file.string(), variant.name);
    if (variant.variant_class == "baseline" && !variant.parts.empty()) {
      fail_input(where, "none, since a baseline combines nothing", variant.parts.front());
    }
    for (const std::string& part : variant.parts) {
      const bool known = part != variant.name && std::ranges::any_of(variants, [&](const Variant& other) {
                           return other.name == part && other.variant_class != "baseline";
                         });
      if (!known) fail_input(where, "names of other variants that are no baseline", part);
    }
    if (holds_itself(variants, variant)) {
      fail_input(where, "variants that do not combine this one again",
                 fmt::format("{}", fmt::join(variant.parts, ", ")));
    }
  }
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
  check_parts(file, variants);
  const bool has_baseline =
      std::ranges::any_of(variants, [](const Variant& variant) { return variant.variant_class == "baseline"; });
  if (!has_baseline) fail_input(fmt::format("{}: variant", file.string()), "one of class `baseline`", "none");
  return variants;
}

}  // namespace

const Variant& Suite::baseline() const {
  return *std::ranges::find(variants, std::string("baseline"), &Variant::variant_class);
}

std::string_view key_of(std::string_view setting) {
  constexpr std::string_view blanks = " \t";
  setting = setting.substr(0, setting.find('='));
  const auto first = std::min(setting.find_first_not_of(blanks), setting.size());
  return setting.substr(first, setting.find_last_not_of(blanks) + 1 - first);
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

fs::path suite_file(const std::string& name) {
  const fs::path path = name;
  std::error_code ignored;
  if (path.has_parent_path() || path.has_extension() || fs::exists(path, ignored)) return path;
  const fs::path folder = shared_file("models/suites");
  const fs::path shared = folder / (name + ".toml");
  if (fs::is_regular_file(shared, ignored)) return shared;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  fail_input("SUITE",
             names.empty() ? "a suite file" : fmt::format("a suite file, or one of {}", fmt::join(names, ", ")),
             name + ", which is not there");
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
