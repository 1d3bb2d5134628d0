// Runs sorted into scales and arms: who is compared with whom, and which seeds are partners.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg {

/// All runs of one variant at one scale, in order of seed.
struct Arm {
  std::string variant, variant_class;
  bool a_a = false;
  std::vector<std::size_t> runs;  ///< indices into the list of runs, those with a curve
  std::vector<std::int64_t> seeds;
  std::vector<std::size_t> failed;  ///< the others: they diverged before their loss fell

  bool empty() const { return runs.empty() && failed.empty(); }
  std::size_t any_run() const { return runs.empty() ? failed.front() : runs.front(); }
};

struct ScaleGroup {
  std::string name;
  double compute = 0;  ///< of the baseline's whole run: FLOPs where known, else 6 N D, tokens, steps
  Arm baseline;
  std::vector<Arm> arms;  ///< everything else, A/A last
};

/// Scales in order of compute; those without the baseline are left out with a warning. Throws (exit 2) for a baseline
/// that is not there (names those present) and when nothing is left to compare.
std::vector<ScaleGroup> group_runs(const std::vector<Run>& runs, const std::string& baseline,
                                   std::vector<Warning>& warnings);

/// A variant is one thing: its class says whether it is the baseline again, its parts what it combines. Runs that tell
/// none take what others of their variant tell; throws (exit 2) where two tell different ones.
void agree_on_variants(std::vector<Run>& runs);

/// Whether both have the same seeds, so that every run has its partner.
bool fully_paired(const Arm& a, const Arm& b);
/// How many seeds both have.
int common_seeds(const Arm& a, const Arm& b);

/// Calls visit(index in baseline.seeds, index in arm.seeds) for every seed of either: the arm's seeds in order, each
/// with its partner where there is one, then the baseline's seeds without a partner.
void for_each_seed(const Arm& baseline, const Arm& arm,
                   const std::function<void(std::optional<std::size_t>, std::optional<std::size_t>)>& visit);

/// Whether a variant is the baseline run again: its class says `baseline`, or its name carries "A/A".
bool is_a_a(const Run& run, const std::string& baseline);

}  // namespace isoloss::ceg
