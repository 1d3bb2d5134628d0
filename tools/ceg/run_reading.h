// What the readers of run folders and of CSV files share: names, numbers and the order of points.
#pragma once

#include <string_view>
#include <vector>

#include "tools/ceg/curves.h"

namespace isoloss {

/// Trimmed of blanks at both ends.
std::string_view trimmed(std::string_view text);

/// A finite decimal number that fills the whole text; throws (exit 2): `where`, `what` and the text as it stands.
double finite_number(std::string_view text, std::string_view where, std::string_view what);

/// Throws (exit 2) unless `name` is 1 to 200 bytes of valid UTF-8 without control characters.
void check_name(std::string_view name, std::string_view where, std::string_view what);

/// Sorts the points by step and throws (exit 2) where a step occurs twice, a cost is negative, a cost falls, or a number
/// is so large or small that it can be no measurement.
void order_points(Run& run, std::string_view where);

}  // namespace isoloss
