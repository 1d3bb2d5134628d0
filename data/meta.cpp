#include "data/meta.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "data/tokenizer.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"

namespace isoloss {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {
ordered_json split_json(const MetaSplit& split) {
  ordered_json shards = ordered_json::array();
  for (const MetaShard& shard : split.shards) {
    shards.push_back({{"file", shard.file}, {"tokens", shard.tokens}, {"sha256", shard.sha256}});
  }
  return {{"documents", split.documents}, {"tokens", split.tokens}, {"bytes", split.bytes}, {"shards", shards}};
}

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

/// The meta.json beside a shard; null where there is none. That of a set that is not whole is an input error.
nlohmann::json meta_beside(const fs::path& shard) {
  const fs::path path = shard.parent_path() / "meta.json";
  if (!fs::exists(path)) return {};
  nlohmann::json meta = parse_json(read_file(path), path.string());
  if (meta.is_object() && meta.contains("unfinished")) {
    fail_input(path.string(), "shards that tokenize finished", "a set that it was stopped in; run it with --force");
  }
  return meta;
}

/// The shards of both splits whose hashes are there; none where the file is of another program.
std::vector<MetaShard> listed_shards(const nlohmann::json& meta) {
  std::vector<MetaShard> shards;
  for (const char* split : {"train", "val"}) {
    const auto of_split = meta.is_object() ? meta.find(split) : meta.end();
    if (of_split == meta.end() || !of_split->is_object()) continue;
    const auto list = of_split->find("shards");
    if (list == of_split->end() || !list->is_array()) continue;
    for (const nlohmann::json& listed : *list) {
      MetaShard shard{text_at(listed, "file"), text_at(listed, "sha256")};
      if (!shard.sha256.empty()) shards.push_back(std::move(shard));
    }
  }
  return shards;
}
}  // namespace

std::string meta_json(const Meta& meta) {
  ordered_json root;
  root["format"] = 1;
  root["tokenizer"] = meta.tokenizer;
  root["tokenizer_sha256"] = meta.tokenizer_sha256;
  root["vocab_size"] = meta.vocabulary;
  root["end_of_text"] = meta.end_of_text ? ordered_json(*meta.end_of_text) : ordered_json();
  root["bytes_per_token"] = meta.bytes_per_token;
  root["separator"] = meta.separator;
  root["field"] = meta.field;
  root["val_fraction"] = meta.val_fraction;
  root["seed"] = meta.seed;
  root["train"] = split_json(meta.train);
  root["val"] = split_json(meta.val);
  root["sources"] = ordered_json::array();
  for (const CorpusSource& source : meta.sources) {
    root["sources"].push_back({{"name", source.name}, {"bytes", source.bytes}, {"sha256", source.sha256}});
    if (source.skipped_lines > 0) root["sources"].back()["skipped_lines"] = source.skipped_lines;
  }
  // A file name that is no UTF-8 must not stop the work at its very end.
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string unfinished_meta_json() { return "{\n  \"format\": 1,\n  \"unfinished\": true\n}\n"; }

std::optional<std::uint32_t> vocabulary_beside(const fs::path& shard) {
  const fs::path meta = shard.parent_path() / "meta.json", tokenizer = shard.parent_path() / "tokenizer.json";
  if (fs::exists(meta)) {
    const nlohmann::json root = meta_beside(shard);
    const auto size = root.is_object() ? root.find("vocab_size") : root.end();
    const auto value = root.is_object() && size != root.end() ? integer_in<std::uint32_t>(*size) : std::nullopt;
    if (!value || *value > 1u << 24) fail_input(meta.string(), "a meta.json with vocab_size", "another file");
    return value;
  }
  if (fs::exists(tokenizer)) return load_tokenizer(tokenizer.string()).vocab_size();
  return std::nullopt;
}

std::string tokenizer_identity(const fs::path& file) {
  Sha256 hash;
  hash.update(tokenizer_json(load_tokenizer(file.string()).vocabulary()));
  return hash.hex();
}

std::string tokenizer_beside(const fs::path& shard, bool any_tokenizer) {
  const fs::path file = shard.parent_path() / "tokenizer.json";
  const std::string made_with = text_at(meta_beside(shard), "tokenizer_sha256");
  if (!fs::exists(file) || (any_tokenizer && !made_with.empty())) return made_with;
  if (made_with.empty()) return tokenizer_identity(file);
  const std::string as_it_is = sha256_of_file(file);
  if (as_it_is != made_with && tokenizer_identity(file) != made_with) {
    fail_input(file.string(), fmt::format("the tokenizer of the shards beside it, of SHA-256 {}", made_with),
               fmt::format("another one, of SHA-256 {}; --any-tokenizer takes it", as_it_is));
  }
  return made_with;
}

void expect_tokenized_shard(const fs::path& shard, const std::string& sha256) {
  const std::vector<MetaShard> shards = listed_shards(meta_beside(shard));
  if (shards.empty() || std::ranges::find(shards, sha256, &MetaShard::sha256) != shards.end()) return;
  const auto of_its_name = std::ranges::find(shards, shard.filename().string(), &MetaShard::file);
  const std::string got = fmt::format("another one, of SHA-256 {}; --any-tokenizer takes it", sha256);
  if (of_its_name == shards.end()) fail_input(shard.string(), "a shard that meta.json beside it lists", got);
  fail_input(shard.string(),
             fmt::format("the shard that meta.json beside it lists, of SHA-256 {}", of_its_name->sha256), got);
}

}  // namespace isoloss
