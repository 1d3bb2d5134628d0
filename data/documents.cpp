#include "data/documents.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/json_text.h"

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

class TextSplitter {
 public:
  TextSplitter(const Separator& separator, DocumentSink& sink) : separator_(separator), documents_(sink) {}

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
      inside_long_line_ = true;
      line = buffer_.size();
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
  void close_line(std::size_t& text, std::size_t line, std::size_t end) {
    const bool is_long = std::exchange(inside_long_line_, false) || end - line > Separator::kLongestLine;
    const std::string_view all(buffer_);
    if (is_long || !separator_.matches(without_line_end(all.substr(line, end - line)))) return;
    documents_.text(all.substr(text, line - text));
    documents_.end();
    text = end;
  }

  const Separator& separator_;
  Documents documents_;
  std::string buffer_;
  std::size_t searched_ = 0;
  bool inside_long_line_ = false;
};
}  // namespace

bool read_text(ByteSource& source, const Separator& separator, DocumentSink& sink, const KeepReading& go_on) {
  std::vector<char> block(kBlock);
  TextSplitter splitter(separator, sink);
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
using nlohmann::json;

void read_json_line(std::string_view line, const std::string& where, std::string_view field, Documents& documents) {
  // The filter drops every member but the field as it is parsed, so that metadata costs no memory.
  const json::parser_callback_t only_field = [&](int depth, json::parse_event_t event, json& parsed) {
    return event != json::parse_event_t::key || depth != 1 || parsed == field;
  };
  const json object = parse_json(line, where, "a JSON object on one line", only_field);
  if (!object.is_object()) fail_input(where, "a JSON object on one line", object.type_name());
  const auto found = object.find(field);
  if (found == object.end()) fail_input(where, fmt::format("a field '{}' (see --field)", field), "none");
  if (!found->is_string()) fail_input(where, fmt::format("text in the field '{}'", field), found->type_name());
  documents.text(found->get_ref<const std::string&>());
  documents.end();
}
}  // namespace

bool read_json_lines(ByteSource& source, std::string_view file, std::string_view field, DocumentSink& sink,
                     const KeepReading& go_on) {
  constexpr std::size_t longest_line = std::size_t{64} << 20;  // a line is parsed whole, and memory is bounded
  std::vector<char> block(kBlock);
  std::string buffer;
  Documents documents(sink);
  std::size_t number = 0;
  const auto use = [&](std::string_view line) {
    ++number;
    line = without_line_end(line);
    if (line.find_first_not_of(" \t") == std::string_view::npos) return;
    read_json_line(line, fmt::format("{} line {}", file, number), field, documents);
  };
  std::size_t searched = 0;
  while (const std::size_t got = source.read(block.data(), block.size())) {
    buffer.append(block.data(), got);
    std::size_t line = 0;
    for (std::size_t end; (end = buffer.find('\n', std::max(line, searched))) != std::string::npos; line = end + 1) {
      use(std::string_view(buffer).substr(line, end - line));
    }
    buffer.erase(0, line);
    searched = buffer.size();
    if (buffer.size() > longest_line) {
      fail_input(fmt::format("{} line {}", file, number + 1), "a line of at most 64 MiB", "a longer one");
    }
    if (!go_on()) return false;
  }
  if (!buffer.empty()) use(buffer);
  return true;
}

}  // namespace isoloss
