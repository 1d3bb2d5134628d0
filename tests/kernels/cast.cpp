#include "kernels/ops/cast/cast.h"

#include <doctest/doctest.h>

#include "kernels/core/bf16.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("cast") {
  for (const std::int64_t count : {1, 7, 8, 9, 3000}) {
    check_op({.name = "cast", .op = "cast", .inputs = {{"x", f32({count})}}, .narrow = false});
  }
}

TEST_CASE("bfloat16 rounds to nearest even and keeps NaN") {
  CHECK(rounded_to_bf16(1.0f) == 1.0f);
  CHECK(rounded_to_bf16(1.0f + 0x1p-8f) == 1.0f);                      // halfway, down to even
  CHECK(rounded_to_bf16(1.0f + 0x1p-7f + 0x1p-8f) == 1.0f + 0x1p-6f);  // halfway, up to even
  CHECK(rounded_to_bf16(1.0f + 0x1p-8f + 0x1p-20f) == 1.0f + 0x1p-7f);
  CHECK(rounded_to_bf16(3.4e38f) == std::bit_cast<float>(0x7F800000u));
  const float nan = std::bit_cast<float>(0x7F800001u);
  CHECK(rounded_to_bf16(nan) != rounded_to_bf16(nan));
}

}  // namespace isoloss::test
