#include <doctest/doctest.h>

#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("fill") {
  for (const std::int64_t count : {1, 9, 3000}) {
    check_op({.name = "fill", .op = "fill", .attributes = {{"value", -0.25}}, .inputs = {{"like", f32({count})}}});
  }
}

}  // namespace isoloss::test
