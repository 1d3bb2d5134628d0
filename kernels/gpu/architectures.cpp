#include "kernels/gpu/architectures.h"

#include <fmt/format.h>

#include <charconv>

namespace isoloss {

namespace {
constexpr int kOldestMajor = 8;  // cp.async and mma.sync on bf16
}

bool has_code_for(std::string_view architectures, int major, int minor) {
  while (!architectures.empty()) {
    const auto blank = architectures.find(' ');
    const std::string_view name = architectures.substr(0, blank);
    architectures.remove_prefix(blank == std::string_view::npos ? architectures.size() : blank + 1);
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc()) continue;
    const std::string_view suffix(end, static_cast<std::size_t>(name.data() + name.size() - end));
    const int own = 10 * major + minor;
    if (suffix.starts_with('a')) {
      if (number == own) return true;
      continue;
    }
    const bool machine_code = suffix != "-virtual" && number / 10 == major, compiled_later = suffix != "-real";
    if ((machine_code || compiled_later) && number <= own) return true;
  }
  return false;
}

std::string why_not_usable(std::string_view architectures, int major, int minor) {
  if (major < kOldestMajor) {
    return fmt::format("expected a GPU of compute capability 8.0 or later, got {}.{}", major, minor);
  }
  if (!has_code_for(architectures, major, minor)) {
    return fmt::format(
        "expected a GPU that this build has code for ({}), got compute capability {}.{}; configure with "
        "-DCMAKE_CUDA_ARCHITECTURES={}{}",
        architectures, major, minor, major, minor);
  }
  return "";
}

}  // namespace isoloss
