// From a suite to the list of training runs: every variant at every scale with every seed, and before them, where there
// are several learning rates, the runs that look for the best one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/config.h"
#include "tools/sweep/suite.h"

namespace isoloss {

/// One training run, completely told.
struct PlannedRun {
  std::filesystem::path folder;                           ///< below the sweep's folder: nano/baseline/seed1
  std::string label;                                      ///< what goes into the manifest's `sweep`, as JSON
  Configuration configuration;                            ///< instantiated
  std::shared_ptr<const std::vector<Override>> settings;  ///< what it was made of, but for the seed
  std::optional<double> learning_rate;                    ///< where the suite gives any
};

/// All runs of one variant at one scale.
struct Cell {
  std::size_t scale, variant;          ///< indices into the suite
  std::vector<PlannedRun> candidates;  ///< with the first seed, one per learning rate; empty unless the suite tunes
  /// The counted runs by [learning rate][seed]; without tuning there is one row.
  std::vector<std::vector<PlannedRun>> runs;
};

struct Plan {
  Suite suite;
  std::vector<Cell> cells;  ///< scale by scale, variants in the suite's order
};

/// Instantiates and checks every configuration before anything is started. `overrides` go on top of everything; `out`
/// is the sweep's folder. Throws input errors that name the suite, the variant and scale, and the key.
Plan make_plan(Suite suite, const std::vector<Override>& overrides, const std::filesystem::path& out);

/// The content of the config.toml of a run below `out`: what the suite extends, and the run's settings, the last one of
/// a key winning. Paths that were written as relative ones stay relative, so that the run's record does not depend on
/// the place.
std::string config_text(const Suite& suite, const PlannedRun& run, const std::filesystem::path& out);

/// What looks like a mistake, a sentence each: a cell with the configuration of another one, whose runs would repeat
/// those of that one bit for bit, and an A/A arm that is not the baseline once more.
std::vector<std::string> surprises(const Plan& plan);

/// Rough work of a run in arbitrary units, for the time left only: tokens times the matrix sizes they meet.
double work_of(const Configuration& configuration);

}  // namespace isoloss
