#include "tools/tokenize/shard_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "data/byte_source.h"

namespace isoloss {

namespace fs = std::filesystem;

ShardSet::ShardSet(fs::path folder, std::string prefix, int id_bytes, std::uint64_t shard_tokens)
    : folder_(std::move(folder)), prefix_(std::move(prefix)), id_bytes_(id_bytes), shard_tokens_(shard_tokens) {}

void ShardSet::append(std::span<const std::uint32_t> ids) {
  while (!ids.empty()) {
    if (open_ == nullptr) {
      const fs::path path = folder_ / fmt::format("{}_{:06}.bin", prefix_, files_.size());
      open_ = std::make_unique<ShardWriter>(path, id_bytes_);
      files_.push_back({path, 0});
    }
    const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(ids.size(), shard_tokens_ - open_->size()));
    open_->append(ids.first(take));
    files_.back().tokens += take;
    tokens_ += take;
    ids = ids.subspan(take);
    if (open_->size() == shard_tokens_) finish();
  }
}

void ShardSet::finish() {
  if (open_ != nullptr) open_->finish();
  open_.reset();
}

void ShardSet::truncate(std::uint64_t tokens) {
  std::error_code ignored;
  while (!files_.empty() && tokens_ - files_.back().tokens >= tokens) {
    tokens_ -= files_.back().tokens;
    fs::remove(files_.back().path, ignored);
    files_.pop_back();
  }
  if (tokens_ == tokens) return;
  File& last = files_.back();
  const std::uint64_t keep = last.tokens - (tokens_ - tokens);
  const TokenShard old(last.path);
  ShardWriter writer(last.path, id_bytes_);  // replaces the old file when it is finished
  std::vector<std::uint32_t> block;
  for (std::uint64_t i = 0; i < keep; ++i) {
    block.push_back(old[i]);
    if (block.size() == 4096 || i + 1 == keep) writer.append(block), block.clear();
  }
  writer.finish();
  last.tokens = keep;
  tokens_ = tokens;
}

std::vector<MetaShard> ShardSet::describe() const {
  std::vector<MetaShard> shards;
  for (const File& file : files_) {
    shards.push_back({file.path.filename().string(), sha256_of_stream(file.path), file.tokens});
  }
  return shards;
}

}  // namespace isoloss
