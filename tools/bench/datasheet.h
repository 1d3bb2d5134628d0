// What makers of GPUs promise.
#pragma once

#include <optional>
#include <string>

#include "engine/run_config.h"

namespace isoloss::bench {

/// Dense FLOP/s of matrix products in the datasheet of the GPU of this name, where it is known for sure.
std::optional<double> datasheet_flops(const std::string& device, Precision precision);

}  // namespace isoloss::bench
