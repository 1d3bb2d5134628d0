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

}  // namespace isoloss::test
