// Where a document ends: text files by separator lines, JSON Lines by line. Memory stays bounded, however long a
// document or a line is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "data/byte_source.h"

namespace isoloss {

/// Receives documents piece by piece; pieces are cut anywhere, also inside a character.
class DocumentSink {
 public:
  virtual ~DocumentSink() = default;
  virtual void text(std::string_view piece) = 0;  ///< not empty
  virtual void end_document() = 0;                ///< only behind text: empty documents do not exist
};

/// Which lines separate documents. Separator lines belong to no document; every other byte belongs to one.
class Separator {
 public:
  /// Lines longer than this are text, whatever they hold.
  static constexpr std::size_t kLongestLine = std::size_t{1} << 16;

  /// `none` (a file is one document), `blank-line` (lines of nothing but spaces and tabs), or a Perl-compatible regular
  /// expression: a line in which it matches, seen without its line end, separates. A malformed one is an input error.
  explicit Separator(std::string_view spec);
  ~Separator();
  Separator(Separator&&) noexcept;

  bool splits() const { return kind_ != Kind::none; }
  /// `line` without its line end.
  bool matches(std::string_view line) const;

 private:
  enum class Kind { none, blank_line, regex };
  struct Regex;
  Kind kind_;
  std::unique_ptr<Regex> regex_;
};

/// Lines of which somebody should hear: how many there were, and where the first one stands.
struct Tally {
  std::uint64_t count = 0;
  std::string first;
  void add(std::string_view file, std::uint64_t line);
};

/// What reading noticed and did not stop at.
struct Remarks {
  Tally marker_alone;    ///< lines of text with <|endoftext|> and blanks that did not separate
  Tally marker_beside;   ///< lines of text that begin or end with <|endoftext|>
  Tally marker_in_json;  ///< documents of JSON Lines that begin or end with it
  Tally bad_lines;       ///< lines of JSON Lines that were skipped
  std::string why_bad;   ///< what is wrong with the first of them
};

/// Called after every block read; false stops the reading at once.
using KeepReading = std::function<bool()>;

/// Each returns false when `go_on` stopped it. `file` is its name in messages.
bool read_text(ByteSource& source, std::string_view file, const Separator& separator, DocumentSink& sink,
               const KeepReading& go_on, Remarks& remarks);

struct JsonLines {
  std::string field = "text";   ///< its string is the document
  bool skip_bad_lines = false;  ///< counts lines that give none in the place of ending with an input error
};
/// One JSON object a line. Input errors name file and line.
bool read_json_lines(ByteSource& source, std::string_view file, const JsonLines& lines, DocumentSink& sink,
                     const KeepReading& go_on, Remarks& remarks);

}  // namespace isoloss
