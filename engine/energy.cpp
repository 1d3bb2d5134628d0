#include "engine/energy.h"

#include <fmt/format.h>

#include <fstream>
#include <utility>

namespace isoloss {

namespace {
std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}
}  // namespace

EnergyMeter::EnergyMeter(const Machine& machine, const std::string& powercap) : machine_(machine) {
  if (!machine_.on_host()) {
    gpu_last_ = machine_.cuda().joules();
    return;
  }
  for (int zone = 0; zone < 16; ++zone) {
    const std::string folder = fmt::format("{}/intel-rapl:{}/", powercap, zone);
    // Beside the packages there may be "psys", the whole board, packages included.
    std::string name;
    std::ifstream(folder + "name") >> name;
    if (!name.starts_with("package")) continue;
    const auto now = read_number(folder + "energy_uj");
    const auto range = read_number(folder + "max_energy_range_uj");
    if (now && range) counters_.push_back({folder + "energy_uj", *now, *range});
  }
}

std::optional<double> EnergyMeter::take_of_gpu() {
  const std::optional<double> now = machine_.cuda().joules();
  const std::optional<double> before = std::exchange(gpu_last_, now);
  return now && before ? std::optional(*now - *before) : std::nullopt;
}

std::optional<double> EnergyMeter::take() {
  if (!machine_.on_host()) return take_of_gpu();
  if (counters_.empty()) return std::nullopt;
  double joules = 0;
  for (Counter& counter : counters_) {
    const auto now = read_number(counter.path);
    if (!now) return std::nullopt;
    // The counter wraps at its range; steps are seconds apart and a wrap takes minutes, so at most one happened.
    const std::uint64_t used = *now >= counter.last ? *now - counter.last : *now + counter.range - counter.last;
    counter.last = *now;
    joules += static_cast<double>(used) * 1e-6;
  }
  return joules;
}

}  // namespace isoloss
