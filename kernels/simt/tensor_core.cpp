// Products of matrices: of those that a warp holds in its registers, and a row of those of host_device.cpp. Kernels
// spend most of their time on the host in here, so this is compiled with optimisation, and without sanitizers: it
// touches no memory but registers and the host's own copies.
#include "kernels/core/bf16.h"
#include "kernels/simt/arithmetic.h"
#include "kernels/simt/host_device.h"
#include "kernels/simt/ptx_host.h"

namespace simt {

void multiply_what_met(Meeting& meeting) {
  LeftRow left[16];
  RightColumns right;
  float sums[16][8];
  const auto each_lane = [&](auto&& body) {
    for (unsigned l = 0; l < 32; ++l) body(l, l / 4, l % 4 * 2, static_cast<float*>(meeting.out[l]));
  };
  each_lane([&](unsigned l, unsigned group, unsigned pair, const float* before) {
    const auto& operands = *static_cast<const MmaOperands*>(meeting.in[l]);
    for (unsigned h = 0; h < 2; ++h) {
      const auto half = [h](std::uint32_t packed) {
        return isoloss::bf16_value(static_cast<std::uint16_t>(packed >> (16 * h)));
      };
      left[group].set(pair + h, half(operands.a[0]));
      left[group + 8].set(pair + h, half(operands.a[1]));
      left[group].set(pair + 8 + h, half(operands.a[2]));
      left[group + 8].set(pair + 8 + h, half(operands.a[3]));
      right.set(pair + h, group, half(operands.b0));
      right.set(pair + 8 + h, group, half(operands.b1));
      sums[group][pair + h] = before[h], sums[group + 8][pair + h] = before[2 + h];
    }
  });
  for (unsigned row = 0; row < 16; ++row) tensor_core_sums(sums[row], left[row], right);
  each_lane([&](unsigned, unsigned group, unsigned pair, float* after) {
    for (unsigned h = 0; h < 2; ++h) after[h] = sums[group][pair + h], after[2 + h] = sums[group + 8][pair + h];
  });
}

void add_multiple(float factor, const float* row, std::int64_t count, float* to) {
  for (std::int64_t j = 0; j < count; ++j) to[j] += factor * row[j];
}

}  // namespace simt
