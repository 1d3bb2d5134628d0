#include "kernels/gpu/energy.h"

#include "kernels/gpu/library.h"

namespace isoloss {

GpuEnergy::GpuEnergy(const std::string& pci_address) {
  // The few functions needed, declared here, since not every toolkit brings the library's header.
  int (*start)() = nullptr;
  int (*find)(const char* pci_address, void** gpu) = nullptr;
  Read* read = nullptr;
  try {
    const DynamicLibrary library({"libnvidia-ml.so.1"});
    library.load(start, "nvmlInit_v2");
    library.load(find, "nvmlDeviceGetHandleByPciBusId_v2");
    library.load(read, "nvmlDeviceGetTotalEnergyConsumption");
  } catch (const CudaFailure&) {
    return;
  }
  if (start() != 0 || find(pci_address.c_str(), &gpu_) != 0) return;
  read_ = read;
}

std::optional<double> GpuEnergy::joules() const {
  unsigned long long millijoules = 0;
  if (read_ == nullptr || read_(gpu_, &millijoules) != 0) return std::nullopt;
  return static_cast<double>(millijoules) * 1e-3;
}

}  // namespace isoloss
