#include "kernels/core/error.h"

#include <fmt/format.h>

namespace isoloss {

namespace {
// Input is quoted in messages; a control byte in it must not break the "one line" promise or drive the terminal.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string line(std::string_view where, std::string_view expected, std::string_view got) {
  return one_line(fmt::format("[{}] expected {}, got {}", where, expected, got));
}
}  // namespace

void fail_input(std::string_view where, std::string_view expected, std::string_view got) {
  throw Error(line(where, expected, got), 2);
}

void fail_run(std::string_view where, std::string_view expected, std::string_view got) {
  throw Error(line(where, expected, got), 1);
}

}  // namespace isoloss
