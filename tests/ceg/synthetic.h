// Curves with a known CEG, for the tests of the statistics.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "tools/ceg/estimate/analysis.h"

namespace isoloss::test {
using namespace ceg;

/// A run with one point per step, its loss given by the step; tokens are 100 a step, FLOPs 1e6 a step.
inline Run make_run(const std::string& variant, std::int64_t seed, const std::vector<double>& steps,
                    const std::function<double(double)>& loss, const std::string& scale = "default") {
  Run run;
  run.variant = variant, run.seed = seed, run.scale = scale, run.source = "synthetic";
  for (const double step : steps) {
    Point point;
    point.cost[static_cast<std::size_t>(CostAxis::steps)] = step;
    point.cost[static_cast<std::size_t>(CostAxis::tokens)] = 100 * step;
    point.cost[static_cast<std::size_t>(CostAxis::flops)] = 1e6 * step;
    point.val_loss = loss(step);
    run.points.push_back(point);
  }
  return run;
}

/// 2 + 8 (factor · step)^-0.3: a variant with factor k reaches every loss k times as fast as one with factor 1.
inline std::function<double(double)> power_law(double factor) {
  return [factor](double step) { return 2 + 8 * std::pow(factor * step, -0.3); };
}

/// 0, spacing, 2 · spacing, …, count · spacing without the 0.
inline std::vector<double> even_steps(int count, double spacing) {
  std::vector<double> steps;
  for (int i = 1; i <= count; ++i) steps.push_back(spacing * i);
  return steps;
}

/// 1, 2^(1/4), 2^(1/2), …: on this grid factors of 2^(k/4) fall on grid points, so interpolation makes no error.
inline std::vector<double> geometric_steps(int count) {
  std::vector<double> steps;
  for (int i = 0; i < count; ++i) steps.push_back(std::exp2(0.25 * i));
  return steps;
}

inline Options options_for(const std::string& baseline = "baseline") {
  Options options;
  options.baseline = baseline;
  options.cost.reset();
  return options;
}

inline const Row& row_of(const Analysis& analysis, std::string_view variant, CostAxis cost = CostAxis::steps,
                         std::string_view scale = "default") {
  for (const Row& row : analysis.rows) {
    if (row.variant == variant && row.cost == cost && row.scale == scale) return row;
  }
  throw std::runtime_error("no row of " + std::string(variant));
}

inline std::vector<std::string> texts_of(const Analysis& analysis, WarningKind kind) {
  std::vector<std::string> texts;
  for (const Warning& warning : analysis.warnings) {
    if (warning.kind == kind) texts.push_back(warning.text);
  }
  return texts;
}

/// The message of the input error (exit code 2) that `action` ends in; "" when it ends well.
inline std::string input_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.exit_code() == 2 ? error.what() : "exit code is not 2: " + std::string(error.what());
  }
  return "";
}

}  // namespace isoloss::test
