// UTF-8, one character at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace isoloss {

struct Utf8Character {
  std::uint32_t code_point;
  int bytes;  ///< 0 where no valid character begins
};

/// The character at the start of `text` (not empty). Overlong forms, surrogates and values beyond U+10FFFF are not
/// valid (Unicode Standard, table 3-7).
inline Utf8Character decode_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first >= 0xc2 && first <= 0xdf && text.size() >= 2 && continues(1)) {
    return {(first & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  }
  if (first >= 0xe0 && first <= 0xef && text.size() >= 3 && continues(1) && continues(2)) {
    const std::uint32_t point = (first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
    return point >= 0x800 && (point < 0xd800 || point > 0xdfff) ? Utf8Character{point, 3} : Utf8Character{0, 0};
  }
  if (first >= 0xf0 && first <= 0xf4 && text.size() >= 4 && continues(1) && continues(2) && continues(3)) {
    const std::uint32_t point =
        (first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
    return point >= 0x10000 && point <= 0x10ffff ? Utf8Character{point, 4} : Utf8Character{0, 0};
  }
  return {0, 0};
}

/// Where `text` stops being UTF-8; its size where it never does.
inline std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const int bytes = decode_utf8(text.substr(i)).bytes;
    if (bytes == 0) break;
    i += static_cast<std::size_t>(bytes);
  }
  return i;
}

}  // namespace isoloss
