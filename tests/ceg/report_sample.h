// An analysis with everything in it that a report can show, made up from closed curves.
#pragma once

#include <string>
#include <vector>

#include "tools/ceg/analysis.h"

namespace isoloss::test {

struct SampleVariant {
  std::string name, variant_class;
  double gain = 1;      ///< true CEG at the first scale
  double drift = 0;     ///< d ln CEG from one scale to the next
  bool reaches = true;  ///< false: its curve levels off above the target at the last scale
  std::vector<std::string> parts;
};

struct SampleOptions {
  std::vector<std::string> scales{"nano", "micro"};
  int seeds = 3;
  int evaluations = 40;
  std::vector<Cost> costs{Cost::steps, Cost::tokens, Cost::flops, Cost::seconds};
  bool intervals = true;
  std::vector<Warning> warnings;
};

/// Seven variants and the A/A arm, one of which never gets there at the last scale.
std::vector<SampleVariant> sample_variants();
Analysis sample_analysis(const std::vector<SampleVariant>& variants, const SampleOptions& options);

}  // namespace isoloss::test
