// linear where the device offers no epilogues: the kernels that stand in for them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "kernels/simt/host_device.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {

TEST_CASE("linear: bias and activation by kernels where no epilogue is offered") {
  auto& device = dynamic_cast<simt::HostDevice&>(*cuda_runner().context({}, 1).device);
  device.epilogues = false;
  for (int activation = 0; activation < 4; ++activation) {
    for (const std::int64_t outputs : {37, 264}) {
      OpCase test{
          .name = fmt::format("linear by kernels, activation={} to {}", activation, outputs),
          .op = "linear",
          .attributes = {{"activation", static_cast<double>(activation)}},
          .inputs = {{"x", f32({45, 19})}, {"w", f32({19, outputs}), Fill::normal(0, 0.2)}, {"bias", f32({outputs})}}};
      if (activation == 3) test.gradient_error = 0x1p-10;        // the kink of ReLU² at 0
      if (activation != 0) test.through_bf16 = {"dw", "dbias"};  // dpre is stored
      test.only_with_device = true;
      check_op(test);
    }
  }
  device.epilogues = true;
}

}  // namespace isoloss::test
