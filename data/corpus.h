// What `tokenize INPUT...` reads: files, folders and the built-in stories, as one sequence of documents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/documents.h"

namespace isoloss {

/// The default separator: a line that holds the marker and nothing else.
inline constexpr std::string_view kDefaultSeparator = "^<\\|endoftext\\|>$";

struct CorpusSource {
  std::string name;                 ///< path, or `builtin:stories:MB`
  std::uint64_t bytes = 0;          ///< of the file as it is, compressed or not
  std::string sha256;               ///< of the same bytes; known once it was read
  std::uint64_t stories = 0;        ///< bytes of built-in stories to generate; 0 for a file
  std::uint64_t skipped_lines = 0;  ///< of JSON Lines; known once it was read
};

struct CorpusOptions {
  std::string separator{kDefaultSeparator};
  JsonLines json_lines;
  bool binary = false;  ///< takes files that are no text as bytes, too
};

class Corpus {
 public:
  /// Expands folders (recursively, sorted by byte value, names beginning with a dot left out; only `.txt .text .md
  /// .jsonl .ndjson` and `.json` that begins with an object on one line, in small letters or capitals, each also as
  /// `.gz .zst .xz`) and checks that every input exists. Throws input errors.
  Corpus(const std::vector<std::string>& inputs, CorpusOptions options);

  const std::vector<CorpusSource>& sources() const { return sources_; }
  /// What folders held and that is no text by its name, or no file: links to folders are not followed.
  const std::vector<std::filesystem::path>& passed_over() const { return passed_over_; }
  /// False when an input is a pipe or the like.
  bool can_be_read_twice() const;

  /// Every document of every source, in order; each source begins a new document. `go_on(done, total)` in bytes is
  /// called between blocks; false stops. Returns false when stopped. Fills in the hashes of the sources.
  ///
  /// A file is JSON Lines when it is named `.jsonl`, `.ndjson` or `.json`, or when it begins so and no ending calls it
  /// text; else it is text. A byte order mark at its head is passed over. A file that is no text (a known binary
  /// format, UTF-16, NUL bytes) is an input error, unless the options say binary.
  bool read(DocumentSink& sink, const std::function<bool(std::uint64_t, std::uint64_t)>& go_on);
  /// What the last read() noticed, one sentence each.
  std::vector<std::string> warnings() const;
  std::uint64_t skipped_lines() const { return remarks_.bad_lines.count; }

 private:
  void add_input(const std::string& input);
  void add_folder(const std::filesystem::path& folder);
  bool read_file(CorpusSource& source, DocumentSink& sink, const std::function<bool(std::uint64_t)>& go_on);
  bool is_json_lines(const std::filesystem::path& name, std::string_view head);
  void notice_encoding(const std::string& name, std::string_view head);
  void notice_copies(std::vector<std::string>& lines) const;

  CorpusOptions options_;
  Separator separator_;
  Remarks remarks_;
  std::vector<std::string> file_warnings_;
  std::vector<CorpusSource> sources_;
  std::vector<std::filesystem::path> passed_over_;
};

}  // namespace isoloss
