// Flash attention: heads and pieces of the text over the threads, then the sums over pieces and shared key heads.
#include <doctest/doctest.h>

#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("attention: no task touches what another one owns") {
  OpCase test;
  test.name = "race";
  test.op = "attention_flash";
  test.attributes = {{"heads", 2}, {"kv_heads", 1}, {"window", 0}, {"p", 0.1}, {"node", 7}};
  test.inputs = {{"qkv", f32({1, 150, 4 * 16})}};  // three tiles, so that a head is cut into pieces
  check_op(test);
}

}  // namespace isoloss::test
