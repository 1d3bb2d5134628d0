#include "tools/common/origin.h"

#include <fmt/format.h>

#include "data/meta.h"
#include "engine/saved_weights.h"
#include "kernels/base/error.h"

namespace isoloss {

namespace fs = std::filesystem;

TokenizerRule tokenizer_of_run(const fs::path& run) {
  return {read_manifest(run).tokenizer_sha256, "the run " + run.string()};
}

TokenizerRule tokenizer_of_weights(const fs::path& weights) {
  const std::string owner = "the weights " + weights.string();
  if (const std::string own = tokenizer_in_weights(weights); !own.empty()) return {own, owner};
  const fs::path folder = fs::absolute(weights).parent_path();
  for (const fs::path& run : {folder, folder.parent_path().parent_path()}) {  // RUN, RUN/checkpoints/step_XXXXXXXX
    if (!fs::exists(run / "manifest.json") || !fs::exists(run / "log.jsonl")) continue;
    return {read_manifest(run).tokenizer_sha256, owner};
  }
  return {};
}

void expect_data_of_run(const fs::path& run, const TokenDataset& data) {
  const std::vector<DataFileRecord> before = read_manifest(run).val;
  const std::vector<std::string> now = data.file_sha256();
  if (before.size() != now.size()) {
    fail_input(run.string(), fmt::format("the {} validation shards of the run", before.size()),
               fmt::format("{}; name those to evaluate on with --data", now.size()));
  }
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (before[i].sha256 == now[i]) continue;
    fail_input(data.shards()[i].path().string(),
               fmt::format("the validation data of the run {}, of SHA-256 {}", run.string(), before[i].sha256),
               fmt::format("another shard, of SHA-256 {}; --data takes it", now[i]));
  }
}

void expect_tokenized(const TokenDataset& data, const std::vector<DataFileRecord>& files) {
  for (std::size_t i = 0; i < files.size(); ++i) expect_tokenized_shard(data.shards()[i].path(), files[i].sha256);
}

void expect_tokenized(const TokenDataset& data) {
  const std::vector<std::string> hashes = data.file_sha256();
  for (std::size_t i = 0; i < hashes.size(); ++i) expect_tokenized_shard(data.shards()[i].path(), hashes[i]);
}

}  // namespace isoloss
