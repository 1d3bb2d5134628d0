#include "kernels/ops/softcap/softcap.h"

#include <fmt/format.h>

#include "kernels/core/rules.h"

namespace isoloss {

namespace {

void check_cap(std::string_view op, const Attributes& attributes) {
  const double cap = attributes.real("cap");
  expect(cap > 0 && std::isfinite(cap), op, "a finite cap above 0", fmt::format("{:g}", cap));
}

std::vector<TensorType> infer_forward(const OpTypes& types) {
  expect_real("softcap", "x", types.in[0]);
  check_cap("softcap", types.attributes);
  return {types.in[0]};
}

std::vector<TensorType> infer_backward(const OpTypes& types) {
  expect_real("softcap_backward", "y", types.in[0]);
  expect_type("softcap_backward", "dy", types.in[1], types.in[0]);
  check_cap("softcap_backward", types.attributes);
  return {types.in[0]};
}

}  // namespace

std::vector<OpDef> define_softcap() {
  return {{.name = "softcap",
           .inputs = {{"x"}},
           .outputs = {{.name = "y", .in_place_of = "x"}},
           .attributes = {{"cap"}},
           .infer = infer_forward,
           .cost = [](const OpTypes& types,
                      std::span<const Mode> mode) { return elementwise_cost(types, mode, kSoftcapFlops); },
           .gradient =
               {.op = "softcap_backward", .reads = {{"y", "y"}, {"dy", "dy"}}, .writes = {{"dx", "x"}}, .aliases = {}},
           .launch = {softcap_ref, softcap_cpu, softcap_cuda}},
          {.name = "softcap_backward",
           .inputs = {{"y"}, {"dy"}},
           .outputs = {{.name = "dx", .in_place_of = "dy", .can_accumulate = true}},
           .infer = infer_backward,
           .cost = [](const OpTypes& types,
                      std::span<const Mode> mode) { return elementwise_cost(types, mode, kSoftcapSlopeFlops); },
           .gradient = {},
           .launch = {softcap_backward_ref, softcap_backward_cpu, softcap_backward_cuda}}};
}

}  // namespace isoloss
