// An analysis with everything in it that a report can show, made up from closed curves.
#pragma once

#include <string>
#include <vector>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::test {
using namespace ceg;

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
  std::vector<CostAxis> costs{CostAxis::steps, CostAxis::tokens, CostAxis::flops, CostAxis::seconds};
  bool intervals = true;
  std::vector<Warning> warnings;
};

/// Seven variants and the A/A arm, one of which never gets there at the last scale.
std::vector<SampleVariant> sample_variants();
Analysis sample_analysis(const std::vector<SampleVariant>& variants, const SampleOptions& options);

}  // namespace isoloss::test
