#include "kernels/base/name.h"

#include <fmt/format.h>

#include "kernels/base/error.h"

namespace isoloss {

void check_name(std::string_view name, std::string_view where, std::string_view what) {
  constexpr std::size_t kLongest = 200;
  if (name.empty()) fail_input(where, fmt::format("a name for the {}", what), "nothing");
  if (name.size() > kLongest) {
    fail_input(where, fmt::format("at most {} bytes for the {}", kLongest, what), fmt::format("{}", name.size()));
  }
  if (printable(name) != name) {
    fail_input(where, fmt::format("UTF-8 without control characters for the {}", what), "other bytes");
  }
}

}  // namespace isoloss
