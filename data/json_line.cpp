#include "data/json_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>

#include "data/content.h"
#include "kernels/base/utf8.h"

namespace isoloss {

namespace {
constexpr std::string_view kObject = "a JSON object on one line";
constexpr std::uint32_t kReplacement = 0xfffd;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_surrogate(std::uint32_t unit, std::uint32_t first) { return unit >= first && unit < first + 0x400; }

void append_utf8(std::uint32_t point, std::string& out) {
  if (point < 0x80) {
    out += static_cast<char>(point);
    return;
  }
  const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;  // bytes that follow the first
  out += static_cast<char>((0xf0 << (3 - more) & 0xf0) | point >> 6 * more);
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (point >> 6 * i & 0x3f));
}

/// Walks over a line without recursion: a hostile line nests deeply.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view line) : line_(line) {}

  char next() const { return at_ < line_.size() ? line_[at_] : '\0'; }
  bool take(char c) {
    if (at_end() || line_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool at_end() const { return at_ >= line_.size(); }
  void skip_blanks() { at_ = std::min(line_.find_first_not_of(" \t\r\n", at_), line_.size()); }
  void need(char c) {
    if (!take(c)) fail();
  }
  void need_end() {
    skip_blanks();
    if (!at_end()) fail();
  }

  /// The string whose opening quote is next, to `out` unless that is null.
  void string(std::string* out) {
    need('"');
    for (;;) {
      const std::size_t begin = at_;
      while (at_ < line_.size() && is_plain(line_[at_])) ++at_;
      if (out != nullptr) append_plain(begin, *out);
      if (take('"')) return;
      need('\\');  // a control character is none
      escape(out);
    }
  }
  void key(std::string* out) {
    skip_blanks();
    string(out);
    skip_blanks();
    need(':');
  }

  void skip_value() {
    std::string open;  // brackets, the innermost last
    for (;;) {
      skip_blanks();
      const char c = next();
      if (c == '{' || c == '[') {
        open += c;
        ++at_;
        skip_blanks();
        if (next() != closing(c)) {
          if (c == '{') key(nullptr);
          continue;
        }
      } else {
        scalar();
      }
      if (!close_brackets(open)) return;
    }
  }

  /// In the words of an error line; nothing where no value begins.
  std::optional<std::string_view> type_of_next() const {
    switch (next()) {
      case '{':
        return "object";
      case '[':
        return "array";
      case '"':
        return "string";
      case 't':
      case 'f':
        return "boolean";
      case 'n':
        return "null";
      case 'N':
        return "NaN";
      case 'I':
        return "Infinity";
      default:
        if (is_digit(next()) || next() == '-') return "number";
        return std::nullopt;
    }
  }

  [[noreturn]] void fail() const {
    throw BadJsonLine{std::string(kObject), at_end() ? "a syntax error, where the line ends" : "a syntax error",
                      at_ + 1, at_end()};
  }

 private:
  static bool is_plain(char c) { return c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20; }
  static char closing(char open) { return open == '{' ? '}' : ']'; }

  void append_plain(std::size_t begin, std::string& out) const {
    const std::string_view run = line_.substr(begin, at_ - begin);
    if (const std::size_t wrong = first_invalid_utf8(run); wrong < run.size()) {
      throw BadJsonLine{"UTF-8", "another encoding", begin + wrong + 1};
    }
    out += run;
  }

  void escape(std::string* out) {
    static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    if (take('u')) {
      const std::uint32_t point = escaped_character();
      if (out != nullptr) append_utf8(point, *out);
      return;
    }
    const std::size_t which = at_ < line_.size() ? letters.find(line_[at_]) : letters.npos;
    if (which == letters.npos) fail();
    ++at_;
    if (out != nullptr) *out += meanings[which];
  }

  std::uint32_t escaped_character() {
    const std::uint32_t first = four_digits();
    if (!is_surrogate(first, 0xd800)) return is_surrogate(first, 0xdc00) ? kReplacement : first;
    const std::size_t behind = at_;
    if (line_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const std::uint32_t second = four_digits();
      if (is_surrogate(second, 0xdc00)) return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
      at_ = behind;  // the next escape stands for itself
    }
    return kReplacement;
  }

  std::uint32_t four_digits() {
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) {
      static constexpr std::string_view digits = "0123456789abcdef";
      const char c = next();
      const std::size_t value = digits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
      if (at_end() || value == digits.npos) fail();
      unit = unit << 4 | static_cast<std::uint32_t>(value);
      ++at_;
    }
    return unit;
  }

  void scalar() {
    const char c = next();
    if (c == '"') return string(nullptr);
    if (is_digit(c) || c == '-') return number();
    for (const std::string_view word : {"true", "false", "null", "NaN", "Infinity"}) {
      if (c == word.front()) return need_word(word);
    }
    fail();
  }
  void need_word(std::string_view word) {
    for (const char c : word) need(c);
  }
  void need_digits() {
    if (!is_digit(next())) fail();
    while (is_digit(next())) ++at_;
  }
  void number() {
    const std::size_t begin = at_;
    take('-');
    if (next() == 'I') return need_word("Infinity");
    if (!take('0')) need_digits();
    if (take('.')) need_digits();
    bool may_be_large = at_ - begin > std::numeric_limits<double>::max_exponent10;
    if (take('e') || take('E')) {
      may_be_large = true;
      if (!take('+')) take('-');
      need_digits();
    }
    if (!may_be_large) return;
    const std::string number(line_.substr(begin, at_ - begin));
    if (!std::isfinite(std::strtod(number.c_str(), nullptr))) {
      throw BadJsonLine{std::string(kObject), number + ", a number beyond the range of double", at_};
    }
  }

  /// Behind a value: closes what ends there. False when nothing is open any more; else the next value follows.
  bool close_brackets(std::string& open) {
    while (!open.empty()) {
      skip_blanks();
      if (take(',')) {
        if (open.back() == '{') key(nullptr);
        return true;
      }
      need(closing(open.back()));
      open.pop_back();
    }
    return false;
  }

  std::string_view line_;
  std::size_t at_ = 0;
};
}  // namespace

std::string text_of_json_line(std::string_view line, std::string_view field) {
  JsonScanner scanner(line);
  scanner.skip_blanks();
  const auto type = scanner.type_of_next();
  if (!type) scanner.fail();
  if (*type == "array")
    throw BadJsonLine{std::string(kObject), "an array; jq -c '.[]' writes its members line by line"};
  if (*type != "object") throw BadJsonLine{std::string(kObject), std::string(*type)};
  scanner.need('{');
  std::string key, text;
  std::optional<std::string_view> found;
  scanner.skip_blanks();
  if (scanner.at_end()) {
    throw BadJsonLine{std::string(kObject), "one that goes on in the next; jq -c . writes each on one", 0, true};
  }
  if (!scanner.take('}')) {
    do {
      key.clear();
      scanner.key(&key);
      scanner.skip_blanks();
      if (key == field) {
        found = scanner.type_of_next();
        text.clear();
      }
      if (key == field && found == "string") {
        scanner.string(&text);
      } else {
        scanner.skip_value();
      }
      scanner.skip_blanks();
    } while (scanner.take(','));
    scanner.need('}');
  }
  scanner.need_end();
  if (!found) throw BadJsonLine{fmt::format("a field '{}' (see --field)", field), "none"};
  if (*found != "string") throw BadJsonLine{fmt::format("text in the field '{}'", field), std::string(*found)};
  return text;
}

bool begins_with_json_line(std::string_view head) {
  if (head.starts_with(kByteOrderMark)) head.remove_prefix(kByteOrderMark.size());
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  const std::size_t end = std::min(head.find('\n'), head.size());
  const std::string_view line = head.substr(0, end);
  JsonScanner scanner(line);
  if (!scanner.take('{')) return false;
  scanner.skip_blanks();
  if (scanner.next() != '"') return false;
  try {
    JsonScanner whole(line);
    whole.skip_value();
    whole.need_end();
  } catch (const BadJsonLine& bad) {
    return bad.ends_early && end == head.size();
  }
  return true;
}

}  // namespace isoloss
