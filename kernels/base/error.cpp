#include "kernels/base/error.h"

#include <fmt/format.h>

#include <cstdint>

#include "kernels/base/utf8.h"

namespace isoloss {

namespace {

/// Bytes of a quotation, of the line as a whole.
constexpr std::size_t kLongestPart = 600, kLongestLine = 4000;

/// Controls of ASCII and Latin-1, line and paragraph separators, and the marks that turn the direction of writing: they
/// break a line, drive a terminal or show another text than there is.
bool is_control(std::uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x200e || point == 0x200f ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

/// The first and the last characters of a long text: what it begins with and where it ends are what tells it apart.
std::string shortened(std::string text, std::size_t longest) {
  if (text.size() <= longest) return text;
  const auto inside = [&](std::size_t at) { return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80; };
  std::size_t front = longest / 2, back = text.size() - longest / 2;
  while (front > 0 && inside(front)) --front;
  while (back < text.size() && inside(back)) ++back;
  return text.substr(0, front) + "…" + text.substr(back);
}

std::string line(std::string_view where, std::string_view expected, std::string_view got) {
  const auto part = [](std::string_view text) { return shortened(printable(text), kLongestPart); };
  return fmt::format("[{}] expected {}, got {}", part(where), part(expected), part(got));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character character = decode_utf8(text);
    const std::size_t bytes = character.bytes == 0 ? 1 : static_cast<std::size_t>(character.bytes);
    if (character.bytes == 0 || is_control(character.code_point)) {
      for (const char c : text.substr(0, bytes)) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return out;
}

Error::Error(std::string_view message, int exit_code)
    : std::runtime_error(shortened(printable(message), kLongestLine)), exit_code_(exit_code) {}

void fail_input(std::string_view where, std::string_view expected, std::string_view got) {
  throw Error(line(where, expected, got), 2);
}

void fail_run(std::string_view where, std::string_view expected, std::string_view got) {
  throw Error(line(where, expected, got), 1);
}

}  // namespace isoloss
