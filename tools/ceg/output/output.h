// The analysis as text for people, as tables for papers and as data for programs. All show the axis (or axes) that
// options.cost names, and all carry every warning.
#pragma once

#include <string>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg {

struct TextStyle {
  int width = 100;  ///< columns; interval bars are drawn where there is room for them
  bool colour = false;
};
std::string as_text(const Analysis& analysis, const TextStyle& style);
std::string as_markdown(const Analysis& analysis);
std::string as_latex(const Analysis& analysis);  ///< booktabs tables

/// One header for all records: `record` is row, noise_floor or warning; unused cells are empty. Full precision.
std::string as_csv(const Analysis& analysis);

/// {"baseline","method","cost","rows":[…],"noise_floor":[…],"warnings":[…],"details":{…}}; absent numbers are null.
/// With several axes "cost" is "all" and every row and noise floor carries its own "cost".
std::string as_json(const Analysis& analysis);

}  // namespace isoloss::ceg
