#include "data/documents.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "data/content.h"
#include "data/json_line.h"
#include "data/tokenizer.h"
#include "kernels/base/error.h"

namespace isoloss {

struct Separator::Regex {
  explicit Regex(std::string_view pattern) {
    int code_error = 0;
    PCRE2_SIZE place = 0;
    // Invalid UTF-8 in the text must not stop the search; it merely matches nothing.
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code_error, &place, nullptr);
    if (code == nullptr) {
      PCRE2_UCHAR message[160] = {};
      pcre2_get_error_message(code_error, message, std::size(message));
      fail_input(fmt::format("--separator character {}", place), "blank-line, none or a regular expression",
                 fmt::format("'{}': {}", pattern, reinterpret_cast<const char*>(message)));
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it the interpreter matches, only slower
    match = pcre2_match_data_create_from_pattern(code, nullptr);
  }
  ~Regex() {
    pcre2_match_data_free(match);
    pcre2_code_free(code);
  }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  pcre2_code* code;
  pcre2_match_data* match = nullptr;
};

Separator::Separator(std::string_view spec)
    : kind_(spec == "none"         ? Kind::none
            : spec == "blank-line" ? Kind::blank_line
                                   : Kind::regex) {
  if (spec.empty()) fail_input("--separator", "blank-line, none or a regular expression", "nothing");
  if (kind_ == Kind::regex) regex_ = std::make_unique<Regex>(spec);
}
Separator::~Separator() = default;
Separator::Separator(Separator&&) noexcept = default;

bool Separator::matches(std::string_view line) const {
  if (kind_ == Kind::blank_line) return line.find_first_not_of(" \t") == std::string_view::npos;
  const int result =
      pcre2_match(regex_->code, reinterpret_cast<PCRE2_SPTR>(line.data()), line.size(), 0, 0, regex_->match, nullptr);
  if (result < PCRE2_ERROR_NOMATCH && result != PCRE2_ERROR_PARTIAL) {
    fail_input("--separator", "an expression that matches a line in reasonable time", "one that gives up");
  }
  return result >= 0;
}

void Tally::add(std::string_view file, std::uint64_t line) {
  if (count++ == 0) first = fmt::format("{} line {}", file, line);
}

namespace {
constexpr std::size_t kBlock = std::size_t{1} << 18;

/// Passes text on and remembers whether there was any.
class Documents {
 public:
  explicit Documents(DocumentSink& sink) : sink_(sink) {}
  void text(std::string_view piece) {
    if (piece.empty()) return;
    sink_.text(piece);
    open_ = true;
  }
  void end() {
    if (open_) sink_.end_document();
    open_ = false;
  }

 private:
  DocumentSink& sink_;
  bool open_ = false;
};

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

enum class MarkerPlace { none, alone, beside };

/// Where <|endoftext|> stands in a line that does not separate: places where somebody meant it to.
MarkerPlace marker_place(std::string_view line) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = line.find_first_not_of(blanks);
  if (first == std::string_view::npos) return MarkerPlace::none;
  line = line.substr(first, line.find_last_not_of(blanks) + 1 - first);
  if (line.front() != kEndOfText.front() && line.back() != kEndOfText.back()) return MarkerPlace::none;
  if (line == kEndOfText) return MarkerPlace::alone;
  return line.starts_with(kEndOfText) || line.ends_with(kEndOfText) ? MarkerPlace::beside : MarkerPlace::none;
}

class TextSplitter {
 public:
  TextSplitter(std::string_view file, const Separator& separator, DocumentSink& sink, Remarks& remarks)
      : file_(file), separator_(separator), documents_(sink), remarks_(remarks) {}

  void add(std::string_view block) {
    buffer_ += block;
    std::size_t text = 0, line = 0;  // beginnings of what is not passed on yet and of the current line
    std::size_t search = searched_;
    for (;;) {
      const std::size_t end = buffer_.find('\n', search);
      if (end == std::string::npos) break;
      close_line(text, line, end + 1);
      line = search = end + 1;
    }
    if (buffer_.size() - line > Separator::kLongestLine) {
      if (!std::exchange(inside_long_line_, true)) long_line_began_ = marker_place(all(line, buffer_.size()));
      line = buffer_.size() - kLineTail;
    }
    documents_.text(std::string_view(buffer_).substr(text, line - text));
    buffer_.erase(0, line);
    searched_ = buffer_.size();
  }
  void finish() {
    std::size_t text = 0;
    if (!buffer_.empty()) close_line(text, 0, buffer_.size());
    documents_.text(std::string_view(buffer_).substr(text));
    documents_.end();
  }

 private:
  static constexpr std::size_t kLineTail = 64;  // of a long line; as much as the marker and some blanks

  std::string_view all(std::size_t begin, std::size_t end) const {
    return std::string_view(buffer_).substr(begin, end - begin);
  }

  void close_line(std::size_t& text, std::size_t line, std::size_t end) {
    ++number_;
    const bool is_long = std::exchange(inside_long_line_, false) || end - line > Separator::kLongestLine;
    if (is_long || !separator_.matches(without_line_end(all(line, end)))) {
      remark(marker_place(all(line, end)), is_long);
      return;
    }
    documents_.text(all(text, line));
    documents_.end();
    text = end;
  }

  void remark(MarkerPlace place, bool is_long) {
    if (is_long && place == MarkerPlace::none) place = long_line_began_;
    long_line_began_ = MarkerPlace::none;
    if (place == MarkerPlace::none) return;
    (place == MarkerPlace::alone && !is_long ? remarks_.marker_alone : remarks_.marker_beside).add(file_, number_);
  }

  std::string_view file_;
  const Separator& separator_;
  Documents documents_;
  Remarks& remarks_;
  MarkerPlace long_line_began_ = MarkerPlace::none;
  std::uint64_t number_ = 0;
  std::string buffer_;
  std::size_t searched_ = 0;
  bool inside_long_line_ = false;
};
}  // namespace

bool read_text(ByteSource& source, std::string_view file, const Separator& separator, DocumentSink& sink,
               const KeepReading& go_on, Remarks& remarks) {
  std::vector<char> block(kBlock);
  TextSplitter splitter(file, separator, sink, remarks);
  Documents whole(sink);
  while (const std::size_t got = source.read(block.data(), block.size())) {
    const std::string_view piece(block.data(), got);
    if (separator.splits()) {
      splitter.add(piece);
    } else {
      whole.text(piece);
    }
    if (!go_on()) return false;
  }
  splitter.finish();
  whole.end();
  return true;
}

namespace {
constexpr std::size_t kLongestJsonLine = std::size_t{64} << 20;  // a line is read whole, and memory is bounded

class JsonLineReader {
 public:
  JsonLineReader(std::string_view file, const JsonLines& lines, DocumentSink& sink, Remarks& remarks)
      : file_(file), lines_(lines), documents_(sink), remarks_(remarks) {}

  void add(std::string_view block) {
    buffer_ += block;
    std::size_t line = 0;
    for (std::size_t end; (end = buffer_.find('\n', std::max(line, searched_))) != std::string::npos; line = end + 1) {
      close_line(std::string_view(buffer_).substr(line, end - line));
    }
    buffer_.erase(0, line);
    if (buffer_.size() > kLongestJsonLine) {
      if (!std::exchange(too_long_, true)) {
        refuse(number_ + 1, {"a line of at most 64 MiB", "a longer one"});
      }
      buffer_.clear();
    }
    searched_ = buffer_.size();
  }
  void finish() {
    if (!buffer_.empty()) close_line(buffer_);
  }

 private:
  void close_line(std::string_view line) {
    ++number_;
    if (std::exchange(too_long_, false)) return;
    line = without_line_end(line);
    if (line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.find_first_not_of(" \t") == std::string_view::npos) return;
    try {
      const std::string text = text_of_json_line(line, lines_.field);
      if (marker_place(text) != MarkerPlace::none) remarks_.marker_in_json.add(file_, number_);
      documents_.text(text);
      documents_.end();
      any_good_ = true;
    } catch (const BadJsonLine& bad) {
      refuse(number_, bad);
    }
  }

  void refuse(std::uint64_t number, const BadJsonLine& bad) {
    if (!lines_.skip_bad_lines) {
      const std::string byte = bad.byte == 0 ? "" : fmt::format(" byte {}", bad.byte);
      fail_input(fmt::format("{} line {}{}", file_, number, byte), bad.expected,
                 bad.got + (any_good_ ? " (--skip-bad-lines passes such lines over)" : ""));
    }
    if (remarks_.bad_lines.count == 0) remarks_.why_bad = fmt::format("expected {}, got {}", bad.expected, bad.got);
    remarks_.bad_lines.add(file_, number);
  }

  std::string_view file_;
  const JsonLines& lines_;
  Documents documents_;
  Remarks& remarks_;
  std::string buffer_;
  std::size_t searched_ = 0;
  std::uint64_t number_ = 0;
  bool too_long_ = false;
  bool any_good_ = false;  ///< else the file is of another form, and passing its lines over leaves nothing
};
}  // namespace

bool read_json_lines(ByteSource& source, std::string_view file, const JsonLines& lines, DocumentSink& sink,
                     const KeepReading& go_on, Remarks& remarks) {
  std::vector<char> block(kBlock);
  JsonLineReader reader(file, lines, sink, remarks);
  while (const std::size_t got = source.read(block.data(), block.size())) {
    reader.add(std::string_view(block.data(), got));
    if (!go_on()) return false;
  }
  reader.finish();
  return true;
}

}  // namespace isoloss
