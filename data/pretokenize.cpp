#include "data/pretokenize.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/base/utf8.h"

namespace isoloss {

namespace {
enum class CharacterClass : std::uint8_t { other, letter, number, space };

std::vector<CharacterClass> character_classes() {
  struct Range {
    std::uint32_t first, last;
    CharacterClass kind;
  };
  static constexpr Range ranges[] = {
#include "data/unicode_classes.inc"
  };
  std::vector<CharacterClass> classes(0x110000, CharacterClass::other);
  for (const Range& range : ranges) std::fill(&classes[range.first], &classes[range.last] + 1, range.kind);
  return classes;
}

struct Character {
  CharacterClass kind;
  std::uint8_t bytes;
};

class TextScanner {
 public:
  explicit TextScanner(std::string_view text) : text_(text), classes_(table()) {}

  Character at(std::size_t i) const {
    const auto byte = static_cast<unsigned char>(text_[i]);
    if (byte < 0x80) return {classes_[byte], 1};
    const Utf8Character character = decode_utf8(text_.substr(i));
    if (character.bytes == 0) return {CharacterClass::other, 1};
    return {classes_[character.code_point], static_cast<std::uint8_t>(character.bytes)};
  }

  /// End of the run of `kind` that goes on at `i`.
  std::size_t run_end(std::size_t i, CharacterClass kind) const {
    while (i < text_.size()) {
      const Character character = at(i);
      if (character.kind != kind) break;
      i += character.bytes;
    }
    return i;
  }

  /// `\s+(?!\S)|\s+`: a run of spaces leaves its last one to the word behind it.
  std::size_t space_end(std::size_t begin) const {
    std::size_t i = begin, last = begin;
    while (i < text_.size()) {
      const Character character = at(i);
      if (character.kind != CharacterClass::space) return last == begin ? i : last;
      last = i;
      i += character.bytes;
    }
    return i;
  }

 private:
  static const CharacterClass* table() {
    static const std::vector<CharacterClass> classes = character_classes();
    return classes.data();
  }

  std::string_view text_;
  const CharacterClass* classes_;
};

/// Length of the contraction that begins at the apostrophe `text[0]`, or 0.
std::size_t contraction(std::string_view text) {
  if (text.size() < 2) return 0;
  switch (text[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return text.size() > 2 && text[2] == 'e' ? 3 : 0;
    case 'l':
      return text.size() > 2 && text[2] == 'l' ? 3 : 0;
    default:
      return 0;
  }
}
}  // namespace

std::size_t word_end(std::string_view text, std::size_t begin) {
  const TextScanner scanner(text);
  if (text[begin] == '\'') {
    if (const std::size_t length = contraction(text.substr(begin)); length > 0) return begin + length;
  }
  if (text[begin] == ' ' && begin + 1 < text.size()) {
    const Character next = scanner.at(begin + 1);
    if (next.kind != CharacterClass::space) return scanner.run_end(begin + 1 + next.bytes, next.kind);
  }
  const Character first = scanner.at(begin);
  if (first.kind == CharacterClass::space) return scanner.space_end(begin);
  return scanner.run_end(begin + first.bytes, first.kind);
}

std::size_t character_boundary(std::string_view text, std::size_t at) {
  std::size_t boundary = at;
  while (boundary + 3 > at && (static_cast<unsigned char>(text[boundary]) & 0xc0) == 0x80) --boundary;
  return (static_cast<unsigned char>(text[boundary]) & 0xc0) == 0x80 ? at : boundary;
}

}  // namespace isoloss
