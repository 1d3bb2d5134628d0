#include "engine/finiteness.h"

#include <fmt/format.h>

#include <cmath>

namespace isoloss {

std::string first_not_finite(const ParameterStore& store, ParameterStore::Part part) {
  const bool gradients = part == ParameterStore::Part::gradients;
  store.to_host(part);
  for (const ParameterInfo& info : store.all()) {
    const Tensor tensor = gradients ? store.host_gradient(info.name) : store.host_value(info.name);
    const float* values = tensor.as<float>();
    for (std::int64_t i = 0; i < tensor.count(); ++i) {
      if (!std::isfinite(values[i])) {
        return fmt::format("{} {} (element {})", gradients ? "gradient of" : "parameter", info.name, i);
      }
    }
  }
  return "";
}

}  // namespace isoloss
