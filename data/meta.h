// meta.json, which stands beside the shards that `tokenize` wrote.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus.h"

namespace isoloss {

struct MetaShard {
  std::string file, sha256;
  std::uint64_t tokens = 0;
};

/// One split, "train" or "val".
struct MetaSplit {
  std::uint64_t documents = 0, tokens = 0;
  std::uint64_t bytes = 0;  ///< of text
  std::vector<MetaShard> shards;
};

struct Meta {
  std::string tokenizer, tokenizer_sha256;
  std::uint32_t vocabulary = 0;
  std::optional<std::uint32_t> end_of_text;
  std::string separator, field;
  double val_fraction = 0;
  std::uint64_t seed = 0;
  double bytes_per_token = 0;
  MetaSplit train, val;
  std::vector<CorpusSource> sources;
};

std::string meta_json(const Meta& meta);
/// Stands in the place of a meta.json while the files beside it are replaced; every reader refuses it.
std::string unfinished_meta_json();

/// The vocabulary that belongs to a shard: from the meta.json beside it, else from the tokenizer.json there, else none.
/// A file that is there and malformed is an input error.
std::optional<std::uint32_t> vocabulary_beside(const std::filesystem::path& shard);

/// SHA-256 of a tokenizer.json as `tokenize` would write it: one hash for one tokenizer, however its file is formatted.
std::string tokenizer_identity(const std::filesystem::path& file);

/// SHA-256 of the tokenizer that made a shard: from the meta.json beside it, else tokenizer_identity() of the
/// tokenizer.json there, else "" for unknown, as for other programs' shards. Where both files are there and do not
/// belong together, that is an input error with both hashes, unless `any_tokenizer`.
std::string tokenizer_beside(const std::filesystem::path& shard, bool any_tokenizer = false);

/// Input error where the meta.json beside a shard lists shards and none of SHA-256 `sha256`, whatever their names: the
/// file was replaced or came from elsewhere, so nobody knows its tokenizer.
void expect_tokenized_shard(const std::filesystem::path& shard, const std::string& sha256);

}  // namespace isoloss
