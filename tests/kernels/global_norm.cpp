#include "kernels/ops/global_norm/global_norm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("global_norm") {
  for (const double clip_norm : {0.0, 1.0, 1e6}) {
    CAPTURE(clip_norm);
    const Attributes attributes = {{"clip_norm", clip_norm}};
    check_op({.name = "few",
              .op = "global_norm",
              .attributes = attributes,
              .inputs = {{"gradient", f32({7})}},
              .rejects = {{"gradient", f32({7, 1})}},
              .narrow = false});
    check_op({.name = "several chunks",
              .op = "global_norm",
              .attributes = attributes,
              .inputs = {{"gradient", f32({3 * kNormChunk + 5})}},
              .narrow = false});
  }
}

TEST_CASE("global_norm: known values") {
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    const auto norm_and_factor = [&](const Values& gradient, double clip_norm) {
      const Operand operand{f32({static_cast<std::int64_t>(gradient.size())}), gradient};
      const LaunchResult result = launch_op(find_op("global_norm"), {{"clip_norm", clip_norm}}, {}, {operand},
                                            {.device = device, .modes = {}, .in_place = {}, .previous = {}});
      return std::pair(result.out[0][0], result.out[1][0]);
    };
    CHECK(norm_and_factor({3, 4}, 1).first == 5);
    CHECK(norm_and_factor({3, 4}, 1).second == static_cast<float>(1 / (5 + 1e-6)));
    CHECK(norm_and_factor({3, 4}, 0) == std::pair(5.0, 1.0));
    CHECK(norm_and_factor({0, 0}, 1) == std::pair(0.0, 1.0));
    // Squares beyond the range of float.
    CHECK(norm_and_factor({3e30f, 0}, 1).first == static_cast<double>(3e30f));
    const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(norm_and_factor({infinity, 1}, 1) == std::pair(infinity, 0.0));
    CHECK(std::isnan(norm_and_factor({nan, 1}, 1).first));
    CHECK(std::isnan(norm_and_factor({nan, 1}, 1).second));
  }
}

}  // namespace isoloss::test
