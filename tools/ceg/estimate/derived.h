// What follows from the rows: the noise floor, the dependence on scale, and compositions.
#pragma once

#include "tools/ceg/estimate/methods.h"

namespace isoloss::ceg {

/// All rows of all scales with their estimates: rows[i] belongs to estimates[i].
struct Estimated {
  std::vector<Row> rows;
  std::vector<Estimate> estimates;
};

/// The interval of the A/A arm; without one, what the scatter of the baseline's own seeds lets expect of a comparison
/// of so many runs with as many others.
std::vector<NoiseFloor> noise_floors(const Context& context, const ScaleGroup& group, const Estimated& all);

/// Weighted by nothing but position, so that the slope stays that of the points as printed.
std::vector<ScaleFit> scale_fits(const Context& context, const std::vector<ScaleGroup>& groups, const Estimated& all);

std::vector<Composition> compositions(const Context& context, const ScaleGroup& group, const Estimated& all,
                                      std::vector<Warning>& warnings);

double step_of(const Run& run, std::size_t point);
std::string described(const Run& run);  ///< "`rope` seed 1"
/// Steps between two evaluations where most are as far apart; nullopt on a grid that is not even.
std::optional<double> usual_distance(const Run& run);

/// What makes runs of a scale unlike each other although their losses and costs stand in one table. `members` have
/// curves.
void warn_about_unlike_runs(const Context& context, const ScaleGroup& group, const std::vector<std::size_t>& members,
                            std::vector<Warning>& warnings);

/// Everything about the runs that a reader of the table has to know (analysis.h, WarningKind).
void warn_about_runs(const Context& context, const ScaleGroup& group, std::vector<Warning>& warnings);

}  // namespace isoloss::ceg
