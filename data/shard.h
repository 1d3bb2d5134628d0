// Token shards: files of token ids, in llm.c's format or bare.
//
//   header   256 little-endian int32: [0] magic, [1] version, [2] token count, the rest zero
//            magic 20240520, version 1: uint16 ids follow; magic 20240801, version 7: uint32 ids follow
//   bare     no header: uint16 ids to the end of the file (nanoGPT's train.bin); what seems to hold other numbers is
//            refused (bare_ids.h), since only a header says for certain what a file holds
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/file.h"

namespace isoloss {

/// A read-only shard, memory-mapped. Construction checks the whole layout (magic, version, count against file size) and
/// throws a one-line input error that names the file; the ids themselves are checked by TokenDataset::check_ids.
class TokenShard {
 public:
  explicit TokenShard(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }       ///< tokens
  int id_bytes() const { return id_bytes_; }         ///< 2 or 4
  bool has_header() const { return offset_ != 0; }   ///< false for a bare file
  std::uint32_t operator[](std::uint64_t i) const {  ///< i < size()
    return id_bytes_ == 2 ? load<std::uint16_t>(i) : load<std::uint32_t>(i);
  }
  /// Copies tokens [begin, begin + count) to `out`; the range must lie inside the shard.
  void read(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const;
  /// Position of the first id >= vocabulary, or size() when there is none. One pass over the file.
  std::uint64_t first_id_beyond(std::uint64_t vocabulary) const;
  /// What a file without header seems to hold where not all of its ids are below `vocabulary`; empty where nothing
  /// tells.
  std::string explain_large_ids(std::uint64_t vocabulary) const;
  /// SHA-256 of the whole file, header included.
  std::string sha256() const;

 private:
  template <class T>
  std::uint32_t load(std::uint64_t i) const;

  std::filesystem::path path_;
  MappedFile file_;
  std::uint64_t offset_ = 0;  ///< bytes before the first id
  std::uint64_t size_ = 0;
  int id_bytes_ = 2;
};

/// Writes one shard with header; nothing is visible under `path` before finish().
class ShardWriter {
 public:
  /// `id_bytes` 2 (ids up to 65,535) or 4.
  ShardWriter(const std::filesystem::path& path, int id_bytes);
  void append(std::span<const std::uint32_t> ids);
  std::uint64_t size() const { return size_; }
  void finish();

 private:
  std::filesystem::path path_;
  AtomicFile file_;
  int id_bytes_;
  std::uint64_t size_ = 0;
};

/// Files that the patterns (paths or shell globs `* ? [..]`) name: patterns in their order, the matches of each sorted
/// by byte value. Where a folder is there as it is written (`lr[1e-3]/`), only the name behind it is a pattern, and
/// brackets that match nothing as a set are taken as they stand. A pattern without a match and a file named twice are
/// input errors that begin with `where`.
std::vector<std::filesystem::path> expand_shards(std::span<const std::string> patterns, std::string_view where);

template <class T>
std::uint32_t TokenShard::load(std::uint64_t i) const {
  // The ids follow a header of 1024 bytes (or none) in a page-aligned map, so they are aligned.
  return reinterpret_cast<const T*>(file_.bytes().data() + offset_)[i];
}

}  // namespace isoloss
