// What the readers of run folders and of CSV files share: names, numbers and the order of points.
#pragma once

#include <string_view>
#include <vector>

#include "tools/ceg/input/curves.h"

namespace isoloss::ceg {

/// Trimmed of blanks at both ends.
std::string_view trimmed(std::string_view text);

/// A finite decimal number that fills the whole text; throws (exit 2): `where`, `what` and the text as it stands.
double finite_number(std::string_view text, std::string_view where, std::string_view what);

/// Sorts the points by step and throws (exit 2) where a step occurs twice with two losses, a cost is negative or falls,
/// or a number is so large or small that it can be no measurement. An evaluation that stands there twice is taken once,
/// and a meter (seconds, joules) that falls is an axis that the run lacks: notes say so.
void order_points(Run& run, std::string_view where);

/// Cuts `-s3`, `_s3`, `-seed3` or `_seed3` off a name and returns the number; 0 where there is none.
std::int64_t cut_seed(std::string& name);

}  // namespace isoloss::ceg
