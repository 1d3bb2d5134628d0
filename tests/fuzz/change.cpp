#include "tests/fuzz/change.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace isoloss::fuzz {

namespace fs = std::filesystem;

namespace {

struct Piece {
  std::size_t begin, end;
};

using Pieces = std::vector<Piece>;

constexpr std::string_view kBlanks = " \t\r";

/// Cuts a document into what stands between commas, brackets, signs and line ends. Knows no format: a piece may be a
/// value, a key, a whole member or table, a cell.
class Cutter {
 public:
  Cutter(std::string_view text, bool strings_are_whole) : text_(text) {
    for (std::size_t at = 0; at < text_.size(); ++at) {
      const char c = text_[at];
      if (c == '"' && strings_are_whole) {
        at = std::min(end_of_string(at), text_.size() - 1);
      } else if (c == '[' || c == '{') {
        open_.push_back({at, item_});
        value_ = item_ = at + 1;
      } else if (c == ']' || c == '}') {
        close(at);
      } else if (c == ':' || c == '=') {
        add(values, value_, at);
        value_ = at + 1;
      } else if (c == ',' || c == ';' || c == '\n') {
        end_item(at);
        if (c == '\n') end_line(at);
      }
    }
    end_item(text_.size());
    end_line(text_.size());
  }

  Pieces values, items, lines;

 private:
  struct Open {
    std::size_t bracket, item;
  };

  std::size_t end_of_string(std::size_t at) const {
    for (++at; at < text_.size() && text_[at] != '"'; ++at) at += text_[at] == '\\' ? 1 : 0;
    return at;
  }

  void add(Pieces& pieces, std::size_t begin, std::size_t end) {
    begin = std::min(text_.find_first_not_of(kBlanks, begin), end);
    while (end > begin && kBlanks.find(text_[end - 1]) != std::string_view::npos) --end;
    if (begin < end) pieces.push_back({begin, end});
  }

  void end_item(std::size_t at) {
    add(values, value_, at);
    add(items, item_, at);
    value_ = item_ = at + 1;
  }

  void end_line(std::size_t at) {
    add(lines, line_, at);
    line_ = at + 1;
  }

  void close(std::size_t at) {
    end_item(at);
    if (open_.empty()) return;
    add(values, open_.back().bracket, at + 1);
    item_ = open_.back().item;
    open_.pop_back();
  }

  std::string_view text_;
  std::size_t value_ = 0, item_ = 0, line_ = 0;
  std::vector<Open> open_;
};

/// What readers meet sooner or later, in the ways that JSON, TOML and CSV write it.
std::string odd_value(Choices& choices) {
  const std::string_view value = choices.one_of({"null",
                                                 "true",
                                                 "0",
                                                 "-0.0",
                                                 "-1",
                                                 "1",
                                                 "0.5",
                                                 "3.0",
                                                 "1e999",
                                                 "1e308",
                                                 "-1e308",
                                                 "1e-320",
                                                 "1e15",
                                                 "2147483648",
                                                 "4294967296",
                                                 "9007199254740993",
                                                 "9223372036854775807",
                                                 "9223372036854775808",
                                                 "-9223372036854775808",
                                                 "18446744073709551615",
                                                 "NaN",
                                                 "nan",
                                                 "inf",
                                                 "Infinity",
                                                 "0x7fffffff",
                                                 "1_000",
                                                 "00",
                                                 "",
                                                 "\"\"",
                                                 "\"\\u0000\"",
                                                 "\"\\ud800\"",
                                                 "\"\xff\xfe\"",
                                                 "\"\x1b[2J\"",
                                                 "\"\xe2\x80\xae\"",
                                                 "\"../..\"",
                                                 "\"/\"",
                                                 "\"none\"",
                                                 "\"<|endoftext|>\"",
                                                 "[]",
                                                 "{}",
                                                 "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
                                                 "{\"a\":{\"a\":{\"a\":{\"a\":[{}]}}}}",
                                                 "2026-01-01",
                                                 "'a'",
                                                 "\"\"\"a\nb\"\"\"",
                                                 ",",
                                                 "\"",
                                                 "#",
                                                 "\n",
                                                 "\r\n",
                                                 "\xef\xbb\xbf",
                                                 std::string_view("\0", 1)});
  if (choices.rarely(16)) return "\"" + std::string(choices.flag() ? 300 : 5000, 'a') + "\"";
  return choices.rarely(32) ? std::string(400, '9') : std::string(value);
}

std::string changed_once(const std::string& text, Choices& choices) {
  const Cutter cutter(text, !choices.rarely(3));
  const Pieces* const kinds[] = {&cutter.values, &cutter.items, &cutter.values, &cutter.lines};
  const Pieces& pieces = *kinds[choices.below(4)];
  if (pieces.empty()) return odd_value(choices);
  const auto choose = [&] { return pieces[choices.below(pieces.size())]; };
  const auto text_of = [&](Piece piece) { return text.substr(piece.begin, piece.end - piece.begin); };
  const Piece piece = choose();
  const std::string old = text_of(piece);
  const auto with = [&](const std::string& now) { return std::string(text).replace(piece.begin, old.size(), now); };
  switch (choices.below(12)) {
    case 0:
    case 1:
    case 2:
      return with(odd_value(choices));
    case 3: {  // gone with the sign after it, or alone
      const std::size_t sign = choices.rarely(4) ? 0 : 1;
      return std::string(text).erase(piece.begin, old.size() + sign);
    }
    case 4:  // twice
      return with(old + (piece.end < text.size() ? text[piece.end] : '\n') + old);
    case 5:  // another one in its place
    case 6:
      return with(text_of(choose()));
    case 7: {  // two change places
      Piece first = piece, second = choose();
      if (first.begin > second.begin) std::swap(first, second);
      if (first.end > second.begin) return with("");
      return text.substr(0, first.begin) + text_of(second) + text.substr(first.end, second.begin - first.end) +
             text_of(first) + text.substr(second.end);
    }
    case 8:  // one level deeper
      return with(choices.flag() ? "[" + old + "]" : "{\"a\": " + old + "}");
    case 9:  // another number, or another word
      return with(old + std::string(choices.one_of({"0", ".5", "e5", "e-5", "e300", "_", " ", "\"", "-"})));
    case 10: {  // one byte
      std::string now = old;
      now[choices.below(now.size())] = static_cast<char>(choices.below(256));
      return with(now);
    }
    default:
      return text.substr(0, piece.begin + choices.below(old.size() + 1));
  }
}

}  // namespace

std::size_t Choices::below(std::size_t count) {
  std::size_t value = 0;
  for (std::size_t range = 1; range < count && !bytes_.empty(); range <<= 8) {
    value = value << 8 | bytes_.front();
    bytes_ = bytes_.subspan(1);
  }
  return count == 0 ? 0 : value % count;
}

Document::Document(std::string given, Choices& choices) : text(std::move(given)) {
  constexpr int kChanges[] = {0, 1, 1, 1, 1, 1, 1, 2};
  const int changes = kChanges[choices.below(std::size(kChanges))];
  const std::string before = text;
  for (int i = 0; i < changes; ++i) text = changed_once(text, choices);
  valid = text == before;
}

bool accepted(bool valid, const std::function<void()>& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    constexpr std::size_t kLongestLine = 4100;
    const std::string line = error.what();
    require(!valid, "a valid document is refused: " + line);
    require(error.exit_code() == 2, "no input error: " + line);
    require(!line.empty() && line.size() <= kLongestLine && printable(line) == line, "no line of text: " + line);
    return false;
  }
}

void require(bool holds, std::string_view text) {
  if (holds) return;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  std::abort();
}

const fs::path& scratch_folder() {
  static const struct Scratch {
    Scratch() {
      std::error_code ignored;
      const fs::path memory = "/dev/shm";
      const bool has_room = fs::space(memory, ignored).available > (std::uintmax_t{1} << 24) && !ignored;
      path = (has_room && ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path()) /
             ("isoloss_fuzz_" + std::to_string(::getpid()));
      fs::create_directories(path);
    }
    ~Scratch() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
    fs::path path;
  } scratch;
  return scratch.path;
}

void put_file(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

}  // namespace isoloss::fuzz
