#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/gpu/gpu.h"

namespace {
constexpr int kSkipped = 77;  // as tests/gpu/CMakeLists.txt tells ctest
}

std::shared_ptr<isoloss::CudaDevice> isoloss::test::gpu() {
  // Never destroyed: at exit, libraries that were opened after it (cuDNN) are torn down before it would be.
  static const auto* const device = new std::shared_ptr<CudaDevice>(open_cuda_device());
  return *device;
}

int main(int argc, char** argv) {
  try {
    fmt::print("{}\n", isoloss::test::gpu()->name());
  } catch (const isoloss::CudaFailure& failure) {
    fmt::print("skipped, no GPU: {}\n", failure.what());
    return kSkipped;
  }
  return doctest::Context(argc, argv).run();
}
