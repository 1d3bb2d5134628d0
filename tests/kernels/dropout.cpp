#include "kernels/core/dropout.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

OpCase dropout_case(const char* name, Shape shape, double p) {
  OpCase test;
  test.name = name;
  test.op = "dropout";
  test.attributes = {{"p", p}, {"node", 987654321}};
  test.inputs = {{"x", f32(shape)}};
  return test;
}

Values run(const OpCase& test, DeviceKind device) {
  const OpDef& op = find_op(test.op);
  return launch_op(
             op, test.attributes, test.state, operands_of(test, op),
             {.device = device, .real = DType::f32, .threads = 2, .modes = {}, .in_place = {false}, .previous = {}})
      .out[0];
}

}  // namespace

TEST_CASE("dropout") {
  check_op(dropout_case("small", {3, 7}, 0.25));
  check_op(dropout_case("one element", {1}, 0.5));
  check_op(dropout_case("nothing dropped", {5, 4}, 0));
  check_op(dropout_case("many chunks", {3, 7001}, 0.1));
  OpCase later = dropout_case("later micro-batch, count no multiple of four", {3, 7}, 0.4);
  later.state.micro_batch = 3;
  check_op(later);
}

TEST_CASE("dropout: two micro-batches draw what the whole batch draws") {
  OpCase whole = dropout_case("whole", {2, 5, 3}, 0.5);
  whole.inputs[0].fill = Fill::values(Values(30, 1.0));
  OpCase part = dropout_case("part", {1, 5, 3}, 0.5);
  part.inputs[0].fill = Fill::values(Values(15, 1.0));
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    Values joined = run(part, device);
    part.state.micro_batch = 1;
    const Values second = run(part, device);
    part.state.micro_batch = 0;
    joined.insert(joined.end(), second.begin(), second.end());
    CHECK(joined == run(whole, device));
  }
}

TEST_CASE("dropout keeps a share 1 - p and scales it; steps, sites and seeds draw differently") {
  const int n = 200000;
  const double p = 0.3;
  const DropoutMask mask(1, 2, 3, p), other_step(1, 3, 3, p), other_site(1, 2, 4, p), other_seed(2, 2, 3, p);
  const DropoutMask large_seed(1 + (std::uint64_t{1} << 32), 2, 3, p);
  int kept = 0, same_step = 0, same_site = 0, same_seed = 0, same_large = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const bool keep = mask.keep(i);
    kept += keep;
    same_step += keep == other_step.keep(i);
    same_site += keep == other_site.keep(i);
    same_seed += keep == other_seed.keep(i);
    same_large += keep == large_seed.keep(i);
  }
  // Five standard deviations of a binomial share.
  const double share = 1 - p, agreement = p * p + share * share;
  const auto spread = [&](double q) { return 5 * std::sqrt(q * (1 - q) / n); };
  CHECK(std::abs(kept / static_cast<double>(n) - share) < spread(share));
  for (const int same : {same_step, same_site, same_seed, same_large}) {
    CHECK(std::abs(same / static_cast<double>(n) - agreement) < spread(agreement));
  }
  CHECK(mask.scale == 1 / share);
}

TEST_CASE("dropout: an element whose draw is the threshold itself is kept, the next smaller draw is not") {
  OpCase test = dropout_case("threshold", {16}, 0);
  test.inputs[0].fill = Fill::values(Values(16, 1.0));
  const DropoutMask mask(test.state.seed, static_cast<std::uint64_t>(test.state.step), 987654321, 0);
  const std::uint32_t drawn = mask.draws(2)[1];  // of element 9
  for (const DeviceKind device : {DeviceKind::ref, has_cuda() ? DeviceKind::cuda : DeviceKind::cpu}) {
    test.attributes.set("p", drawn * 0x1p-32);
    CHECK(run(test, device)[9] > 1);
    test.attributes.set("p", (drawn + 1.0) * 0x1p-32);
    CHECK(run(test, device)[9] == 0);
  }
}

}  // namespace isoloss::test
