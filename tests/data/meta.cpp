#include "data/meta.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/data/temporary.h"

namespace isoloss {

namespace {
std::string error_of(const std::filesystem::path& shard, const std::string& sha256) {
  return input_error([&] { expect_tokenized_shard(shard, sha256); });
}
}  // namespace

TEST_CASE("a shard belongs to the meta.json beside it by its content, whatever its name") {
  const TemporaryFolder folder;
  Meta meta;
  meta.vocabulary = 300;
  meta.train.shards = {{"train_000000.bin", "aa"}, {"train_000001.bin", "bb"}};
  meta.val.shards = {{"val_000000.bin", "cc"}};
  folder.write("meta.json", meta_json(meta));
  CHECK(error_of(folder.path() / "train_000001.bin", "bb") == "");
  CHECK(error_of(folder.path() / "val_000000.bin", "cc") == "");
  CHECK(error_of(folder.path() / "renamed.bin", "cc") == "");
  const std::string replaced = error_of(folder.path() / "train_000001.bin", "dd");
  CHECK(contains(replaced,
                 "train_000001.bin] expected the shard that meta.json beside it lists, of SHA-256 bb, got "
                 "another one, of SHA-256 dd; --any-tokenizer takes it"));
  const std::string added = error_of(folder.path() / "train_000002.bin", "dd");
  CHECK(contains(added, "train_000002.bin] expected a shard that meta.json beside it lists, got another one"));
}

TEST_CASE("a meta.json that lists no hashes has nothing to compare") {
  const TemporaryFolder folder;
  const auto shard = folder.path() / "a.bin";
  CHECK(error_of(shard, "aa") == "");
  for (const char* meta : {"{}", "[]", "3", R"({"train": 1, "val": []})", R"({"train": {"shards": {"file": "a.bin"}}})",
                           R"({"train": {"shards": [1, {"file": "a.bin"}, {"file": "a.bin", "sha256": 1}]}})"}) {
    CAPTURE(meta);
    folder.write("meta.json", meta);
    CHECK(error_of(shard, "aa") == "");
  }
}

TEST_CASE("a set that is not whole is refused by every question about it") {
  const TemporaryFolder folder;
  folder.write("meta.json", unfinished_meta_json());
  const auto shard = folder.path() / "train_000000.bin";
  for (const std::string& error : {input_error([&] { vocabulary_beside(shard); }),
                                   input_error([&] { tokenizer_beside(shard); }), error_of(shard, "aa")}) {
    CHECK(contains(error, "meta.json] expected shards that tokenize finished"));
  }
}

}  // namespace isoloss
