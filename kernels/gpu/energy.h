// The energy counter of a GPU, through NVIDIA's management library, which comes with the driver.
#pragma once

#include <optional>
#include <string>

namespace isoloss {

class GpuEnergy {
 public:
  /// Of the GPU at this PCI address. Where there is no library or no such counter, it never tells.
  explicit GpuEnergy(const std::string& pci_address);

  /// Joules since the driver was loaded.
  std::optional<double> joules() const;

 private:
  using Read = int(void* gpu, unsigned long long* millijoules);
  void* gpu_ = nullptr;
  Read* read_ = nullptr;
};

}  // namespace isoloss
