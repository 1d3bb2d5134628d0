// Training on a real GPU: as on ref, and the same bits again.
#include <doctest/doctest.h>

#include "engine/machine.h"
#include "tests/gpu/gpu.h"
#include "tests/harness/cuda_training.h"

namespace isoloss::test {

TEST_CASE("training on the GPU: every toggle follows ref in float32 and in bf16") {
  for (const TrainingVariant& variant : training_variants()) {
    check_follows_ref(variant, [] { return Machine(gpu(), /*tf32=*/false); });
  }
}

TEST_CASE("training on the GPU: the same bits again, and after a resume") {
  check_repeats_and_resumes([](int) { return Machine(gpu(), /*tf32=*/false); });
}

TEST_CASE("check on the GPU: every toggle's operations are as near to ref as rounding allows") {
  check_every_operation([] { return gpu(); });
}

TEST_CASE("profile on the GPU: every operation of a step is timed once") {
  for (const bool captured : {true, false}) check_profile(gpu(), captured);
}

}  // namespace isoloss::test
