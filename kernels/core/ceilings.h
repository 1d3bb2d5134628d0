// What this machine reaches at best, measured: the yardstick of `bench` and `train --profile`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/cuda_device.h"

namespace isoloss {

struct Ceilings {
  double flops_per_second = 0;      ///< a large matrix product: of the cpu device in float32 on all threads, or a GPU's
  double bytes_per_second = 0;      ///< a large copy, bytes read plus bytes written
  double fma_flops_per_second = 0;  ///< cpu: fused multiply-adds that never leave the registers, all threads
};

/// Takes about `seconds` and 128 MB. Each ceiling is the best of its repetitions: noise only ever slows down.
Ceilings measure_ceilings(double seconds = 1.0);

/// The same of a CUDA device, for products of `operands` (f32 or bf16) of `size` by `size` matrices and copies of
/// `copy_bytes`, or as much of it as fits into half of the free memory. Medians of a few dozen runs: boost clocks that
/// last for a moment are no ceiling.
Ceilings measure_ceilings(CudaDevice& device, CudaDevice::Stream stream, DType operands, bool tf32,
                          std::int64_t size = 8192, std::size_t copy_bytes = std::size_t{1} << 30);

}  // namespace isoloss
