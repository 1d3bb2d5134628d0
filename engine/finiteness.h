// Whether numbers are finite: what a run that diverged, and weights that are damaged, are told by.
#pragma once

#include <string>

#include "engine/parameters.h"

namespace isoloss {

/// The first value or gradient of the store that is NaN or infinite, as `parameter NAME (element I)`; "" when all are
/// finite. Fetches them from the machine. Moments are not looked at.
std::string first_not_finite(const ParameterStore& store, ParameterStore::Part part);

}  // namespace isoloss
