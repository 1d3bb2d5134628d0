// The GPU that these tests run on.
#pragma once

#include <memory>

#include "kernels/cuda/device.h"

namespace isoloss::test {

/// Opened once; main() has seen to it that there is one.
std::shared_ptr<CudaDevice> gpu();

}  // namespace isoloss::test
