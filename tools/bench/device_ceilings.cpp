#include "tools/bench/device_ceilings.h"

#include <algorithm>

#include "tools/bench/device_products.h"
#include "tools/bench/timing.h"

namespace isoloss::bench {

Ceilings measure_device_ceilings(const Machine& machine, DType real, double seconds, const CeilingSizes& sizes) {
  const auto shortest = [&](std::function<void(int)> work) {
    return times_of(machine, 0.5 * seconds, {{std::move(work)}}).front().shortest;
  };
  CudaDevice& device = machine.cuda();
  Ceilings ceilings;
  {
    Operands operands(machine);
    const std::int64_t size = sizes.matmul;
    const Projection square{"", size, size, size, false};
    const TensorType type{real, {size, size}};
    const Tensor x = operands.random(type), w = operands.random(type), y = operands.empty(type);
    const Matmul product = device_product(square, Pass::forward, real, uses_tf32(machine), {x.data, w.data, y.data});
    ceilings.flops_per_second =
        product_flops(square) / shortest([&](int) { device.matmul(product, machine.stream()); });
  }
  Operands operands(machine);
  const std::size_t bytes = std::min(sizes.copy_bytes, device.free_memory() / 4);
  const TensorType type{DType::u8, {static_cast<std::int64_t>(bytes)}};
  const Tensor from = operands.empty(type), to = operands.empty(type);
  const double time = shortest([&](int) { device.copy(to.data, from.data, bytes, machine.stream()); });
  ceilings.bytes_per_second = 2 * static_cast<double>(bytes) / time;
  return ceilings;
}

std::optional<double> datasheet_flops(const std::string& device, Precision precision) {
  // NVIDIA's datasheets of H200, H100 (SXM5 each) and A100, without sparsity. Other variants of the same chips have
  // other clocks, so the whole name must fit.
  struct Sheet {
    const char* name;
    double bf16, tf32, fp32;  // TFLOP/s
  };
  static constexpr Sheet kSheets[] = {{"NVIDIA H200", 989.5, 494.7, 67},
                                      {"NVIDIA H100 80GB HBM3", 989.5, 494.7, 67},
                                      {"NVIDIA A100-SXM4-80GB", 312, 156, 19.5},
                                      {"NVIDIA A100-SXM4-40GB", 312, 156, 19.5}};
  for (const Sheet& sheet : kSheets) {
    if (device != sheet.name) continue;
    const double tera = precision == Precision::bf16   ? sheet.bf16
                        : precision == Precision::tf32 ? sheet.tf32
                                                       : sheet.fp32;
    return tera * 1e12;
  }
  return std::nullopt;
}

}  // namespace isoloss::bench
