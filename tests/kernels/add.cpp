#include <doctest/doctest.h>

#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("add") {
  check_op({.name = "small",
            .op = "add",
            .inputs = {{"a", f32({2, 3, 5})}, {"b", f32({2, 3, 5})}},
            .rejects = {{"b", f32({2, 3, 6})}, {"b", f32({30})}}});
  check_op({.name = "several tasks", .op = "add", .inputs = {{"a", f32({30011})}, {"b", f32({30011})}}});
}

}  // namespace isoloss::test
