// Flash attention on tensor cores: what its kernels do besides computing the right numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>

#include "kernels/base/error.h"
#include "kernels/simt/executor.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

struct Sizes {
  std::int64_t T, D;
  int window = 0;
};

/// What forward, or forward and backward, use on the host executor.
simt::Counters used_by(const Sizes& sizes, DType real, bool with_backward) {
  OpCase test;
  test.name = "counted";
  test.op = "attention_flash";
  test.attributes = {{"heads", 2}, {"kv_heads", 1}, {"window", sizes.window}, {"p", 0.0}, {"node", 1}};
  test.inputs = {{"qkv", f32({1, sizes.T, 4 * sizes.D})}};
  const auto run = [&](const char* name, const std::vector<Operand>& inputs) {
    const OpDef& op = find_op(name);
    LaunchRequest request{
        .device = DeviceKind::cuda, .real = real, .threads = 1, .modes = {}, .in_place = {}, .previous = {}};
    request.in_place.assign(op.outputs.size(), false);
    return launch_op(op, test.attributes, test.state, inputs, request);
  };
  const std::vector<Operand> inputs = operands_of(test, find_op("attention_flash"));
  simt::counters() = {};
  const LaunchResult forward = run("attention_flash", inputs);
  if (with_backward) {
    const Operand y{f32({1, sizes.T, 2 * sizes.D}), forward.out[0]};
    const Operand lse{f32({1, 2, sizes.T}), forward.out[1], DType::f32};
    run("attention_flash_backward", {inputs[0], y, lse, y});
  }
  return simt::counters();
}

TEST_CASE("attention_flash: bf16 goes through tensor cores without bank conflicts, everything else past them") {
  for (const std::int64_t D : {32, 40, 64, 72, 96, 128}) {
    CAPTURE(D);
    const simt::Counters used = used_by({140, D}, DType::bf16, true);
    CHECK(used.ldmatrix > 0);
    CHECK(used.bank_conflicts == 0);
    CHECK(used_by({9, D}, DType::f32, true).ldmatrix == 0);
  }
  CHECK(used_by({9, 20}, DType::bf16, true).ldmatrix == 0);
  for (const std::int64_t D : {130, 136}) {
    CHECK_THROWS_WITH_AS(used_by({9, D}, DType::bf16, false),
                         doctest::Contains("[attention_flash] expected a head width of at most 128 on cuda, got 13"),
                         Error);
  }
}

TEST_CASE("attention_flash: a warp of the tensor cores multiplies only tiles in which one of its pairs lives") {
  for (const Sizes& sizes : {Sizes{300, 32}, Sizes{300, 32, 40}, Sizes{300, 32, 1}, Sizes{10, 32}}) {
    CAPTURE(sizes.T);
    CAPTURE(sizes.window);
    constexpr std::int64_t kOwn = 32, kKeys = 64;
    std::uint64_t warps = 0, tiles = 0;
    for (std::int64_t q = 0; q < (sizes.T + 127) / 128 * 128; q += kOwn, ++warps) {
      for (std::int64_t k = 0; k < sizes.T; k += kKeys) {
        bool any = false;
        for (std::int64_t i = q; i < std::min(q + kOwn, sizes.T); ++i) {
          for (std::int64_t j = k; j < k + kKeys; ++j)
            any = any || (j <= i && (sizes.window == 0 || i - j < sizes.window));
        }
        tiles += any ? 1 : 0;
      }
    }
    // A warp loads its queries as 2 x 2 operands of 16 x 16, and of each tile keys and values as 4 x 2.
    CHECK(used_by(sizes, DType::bf16, false).ldmatrix == 2 * (4 * warps + 16 * tiles));
  }
}

}  // namespace
}  // namespace isoloss::test
