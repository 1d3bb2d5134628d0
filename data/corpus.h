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
  std::string name;           ///< path, or `builtin:stories:MB`
  std::uint64_t bytes = 0;    ///< of the file as it is, compressed or not
  std::string sha256;         ///< of the same bytes; known once it was read
  std::uint64_t stories = 0;  ///< bytes of built-in stories to generate; 0 for a file
};

class Corpus {
 public:
  /// Expands folders (recursively, sorted by byte value, names beginning with a dot left out; only `.txt .text .md
  /// .jsonl`, each also as `.gz .zst .xz`) and checks that every input exists. Throws input errors.
  Corpus(const std::vector<std::string>& inputs, std::string_view separator, std::string field);

  const std::vector<CorpusSource>& sources() const { return sources_; }
  /// Files that folders held and that are no text by their names.
  const std::vector<std::filesystem::path>& passed_over() const { return passed_over_; }
  /// False when an input is a pipe or the like.
  bool can_be_read_twice() const;

  /// Every document of every source, in order; each source begins a new document. `go_on(done, total)` in bytes is
  /// called between blocks; false stops. Returns false when stopped. Fills in the hashes of the sources.
  bool read(DocumentSink& sink, const std::function<bool(std::uint64_t, std::uint64_t)>& go_on);

 private:
  void add_input(const std::string& input);
  void add_folder(const std::filesystem::path& folder);
  bool read_file(CorpusSource& source, DocumentSink& sink, const std::function<bool(std::uint64_t)>& go_on) const;

  Separator separator_;
  std::string field_;
  std::vector<CorpusSource> sources_;
  std::vector<std::filesystem::path> passed_over_;
};

}  // namespace isoloss
