#include "models/presets.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "models/config.h"

namespace isoloss {

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  return names;
}

std::string_view preset_text(std::string_view name) {
  const auto found =
      std::find_if(presets().begin(), presets().end(), [&](const Preset& preset) { return preset.name == name; });
  if (found == presets().end()) {
    fail_input("preset", fmt::format("one of {}", fmt::join(preset_names(), ", ")), name);
  }
  return found->text;
}

}  // namespace isoloss
