#include "tools/bench/datasheet.h"

namespace isoloss::bench {

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
