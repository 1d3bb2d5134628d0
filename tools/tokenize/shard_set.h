// The shards of one split while they are being written.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/meta.h"
#include "data/shard.h"

namespace isoloss {

/// PREFIX_000000.bin, PREFIX_000001.bin, ... in a folder, a new one every `shard_tokens`.
class ShardSet {
 public:
  ShardSet(std::filesystem::path folder, std::string prefix, int id_bytes, std::uint64_t shard_tokens);

  void append(std::span<const std::uint32_t> ids);
  std::uint64_t tokens() const { return tokens_; }
  /// Writes out the shard in progress; append() may follow only when nothing was appended before.
  void finish();
  /// After finish(): moves the tokens from number `begin` on to the end of `other` and calls `seen` for each id.
  template <class Seen>
  void move_tail(std::uint64_t begin, ShardSet& other, Seen&& seen);
  /// After finish(): keeps only the first `tokens`.
  void truncate(std::uint64_t tokens);
  /// After finish(): the files as meta.json lists them.
  std::vector<MetaShard> describe() const;

 private:
  struct File {
    std::filesystem::path path;
    std::uint64_t tokens;
  };
  std::filesystem::path folder_;
  std::string prefix_;
  int id_bytes_;
  std::uint64_t shard_tokens_, tokens_ = 0;
  std::vector<File> files_;
  std::unique_ptr<ShardWriter> open_;
};

template <class Seen>
void ShardSet::move_tail(std::uint64_t begin, ShardSet& other, Seen&& seen) {
  std::uint64_t first = 0;
  std::vector<std::uint32_t> block;
  for (const File& file : files_) {
    const std::uint64_t end = first + file.tokens;
    if (end > begin) {
      const TokenShard shard(file.path);
      for (std::uint64_t i = std::max(begin, first) - first; i < file.tokens; ++i) {
        block.push_back(shard[i]);
        seen(block.back());
        if (block.size() == 4096) other.append(block), block.clear();
      }
    }
    first = end;
  }
  other.append(block);
  truncate(begin);
}

}  // namespace isoloss
