// A suite file: which variants are compared, at which scales, with which seeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "models/config.h"

namespace isoloss {

struct Scale {
  std::string name;
  std::vector<Override> settings;
};

struct Variant {
  std::string name;
  std::string variant_class;        ///< baseline, compute-independent, compute-dependent, systems
  std::vector<Override> settings;   ///< on top of the baseline's
  std::vector<std::string> parts;   ///< of a combined variant: the variants it combines
  std::vector<std::int64_t> seeds;  ///< the suite's; other ones for an A/A arm
};

/// A checked suite. The first variant of class `baseline` is the baseline; every other one of that class is an A/A arm.
/// There is always one: where the file has none, `baseline (A/A)` is added.
struct Suite {
  std::filesystem::path file;
  std::string extends;                 ///< preset, or the absolute path of a file
  std::vector<Override> settings;      ///< of every run: the suite's configuration tables and its own `set`
  std::vector<double> learning_rates;  ///< empty: what the configuration says
  std::vector<Scale> scales;
  std::vector<Variant> variants;

  const Variant& baseline() const;
  bool tunes() const { return learning_rates.size() > 1; }
};

/// Keys: `extends`, `seeds`, `learning_rates`, `set`, the configuration tables `[model] [data] [optimizer] [schedule]
/// [run]`, and any number of `[[scale]]` (`name`, `set`) and `[[variant]]` (`name`, `class`, `set`, `parts`). Throws
/// input errors that name file, line and key. Whether the settings are valid is found out by `make_plan`.
Suite read_suite(const std::filesystem::path& file);

/// What stands before the equals sign of `key=value`, without blanks.
std::string_view key_of(std::string_view setting);

/// The file of a suite that is given as a path, or by the name of one that comes with the programs (`demo`). A file
/// comes first. An input error where a name is neither.
std::filesystem::path suite_file(const std::string& name);

/// `name` as a folder name: letters, digits and `.+=_-` stay, every run of other bytes becomes one `-`.
std::string folder_name(std::string_view name);

}  // namespace isoloss
