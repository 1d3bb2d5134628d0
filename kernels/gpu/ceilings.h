// What a GPU reaches at best, measured: the yardstick of `bench` and `train --profile` on the cuda device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/ceilings.h"
#include "kernels/cuda/device.h"

namespace isoloss {

/// The ceilings of a CUDA device, for products of `operands` (f32 or bf16) of `size` by `size` matrices and copies of
/// `copy_bytes`, or as much of it as fits into half of the free memory. Medians of a few dozen runs: boost clocks that
/// last for a moment are no ceiling.
Ceilings measure_ceilings(CudaDevice& device, CudaDevice::Stream stream, DType operands, bool tf32,
                          std::int64_t size = 8192, std::size_t copy_bytes = std::size_t{1} << 30);

}  // namespace isoloss
