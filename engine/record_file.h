// A file of lines that only grows, and knows how far it has come.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "kernels/base/checksum.h"

namespace isoloss {

inline constexpr const char *kLogFile = "log.jsonl", *kEvaluationFile = "eval.jsonl";

/// The lines of a file at some moment.
struct LinesMark {
  std::uint64_t lines = 0;
  FileDigest digest;  ///< of their bytes
  bool operator==(const LinesMark&) const = default;
};

/// How far both files of a record have come. manifest.json and a checkpoint's state.json hold it in the same form.
struct RecordLines {
  LinesMark log, evaluations;
  bool operator==(const RecordLines&) const = default;
};
/// {"log.jsonl": {"lines": 3, "bytes": 400, "xxh64": "…"}, "eval.jsonl": {…}}
nlohmann::ordered_json to_json(const RecordLines& lines);
/// Throws nlohmann's exceptions for what is not of that form.
RecordLines record_lines_from(const nlohmann::ordered_json& json);

/// How far a record had come, and whose it is. A checkpoint keeps it, so that a record and a checkpoint that do not
/// belong together, or a record that has changed since, are found.
struct RecordMark {
  std::string run;  ///< identity_of its manifest
  RecordLines lines;
  bool operator==(const RecordMark&) const = default;
};

class RecordFile {
 public:
  /// Opens the file for appending, and counts the lines that are there. Throws (exit 1) where it cannot be written.
  explicit RecordFile(const std::filesystem::path& path);
  ~RecordFile();
  RecordFile(RecordFile&& other) noexcept;
  RecordFile& operator=(RecordFile&&) = delete;
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Appends one line with a single write; a full disk is a run error and leaves no half line behind.
  void append(std::string_view line);
  /// fsync. A file that its path does not lead to any more is a run error: nobody would ever find those lines.
  void sync();
  LinesMark mark() const { return {lines_, {bytes_, checksum_.value()}}; }

 private:
  void count(std::string_view text);
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t lines_ = 0, bytes_ = 0;
  Xxh64 checksum_;
};

/// Throws (exit 2) naming the file unless it begins with the lines of `mark`; `said_by` names the file that says so.
void expect_lines(const std::filesystem::path& path, const LinesMark& mark, std::string_view said_by);

/// The bytes of a file's lines up to `step`. Without a mark nothing else says where a record was at a checkpoint. A
/// line before that which is no JSON object with a step is an input error with file and line number.
std::uint64_t bytes_until(const std::filesystem::path& path, std::int64_t step);

/// Cuts what is past the first `bytes`; a file that is not there has none. Returns `path`.
const std::filesystem::path& cut(const std::filesystem::path& path, std::uint64_t bytes);

}  // namespace isoloss
