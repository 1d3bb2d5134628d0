// What this machine reaches at best, measured: the yardstick of `bench` and `train --profile`.
#pragma once

namespace isoloss {

struct Ceilings {
  double flops_per_second = 0;      ///< a large matrix product: of the cpu device in float32 on all threads, or a GPU's
  double bytes_per_second = 0;      ///< a large copy, bytes read plus bytes written
  double fma_flops_per_second = 0;  ///< cpu: fused multiply-adds that never leave the registers, all threads
};

/// Takes about `seconds` and 128 MB. Each ceiling is the best of its repetitions: noise only ever slows down.
Ceilings measure_ceilings(double seconds = 1.0);

}  // namespace isoloss
