// What a device reaches at best, measured, and what its maker promises.
#pragma once

#include <optional>
#include <string>

#include "engine/run_config.h"
#include "kernels/core/ceilings.h"
#include "tools/bench/operands.h"

namespace isoloss::bench {

struct CeilingSizes {
  std::int64_t matmul = 8192;                     ///< rows and columns of the square product
  std::size_t copy_bytes = std::size_t{1} << 30;  ///< at most a quarter of the free memory is taken for each side
};

/// A large product of `real` (on tensor cores in tf32 where the machine may) and a large copy; the best of the samples,
/// about `seconds` together. There is no ceiling of the registers here.
Ceilings measure_device_ceilings(const Machine& machine, DType real, double seconds, const CeilingSizes& sizes = {});

/// Dense FLOP/s of matrix products in the datasheet of the GPU of this name, where it is known for sure.
std::optional<double> datasheet_flops(const std::string& device, Precision precision);

}  // namespace isoloss::bench
