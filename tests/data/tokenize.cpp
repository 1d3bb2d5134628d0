#include "tools/tokenize/tokenize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/loader.h"
#include "data/meta.h"
#include "kernels/base/philox.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
using Ids = std::vector<std::uint32_t>;
using nlohmann::json;

Ids shard_ids(const std::filesystem::path& path) {
  const TokenShard shard(path);
  Ids ids;
  for (std::uint64_t i = 0; i < shard.size(); ++i) ids.push_back(shard[i]);
  return ids;
}

/// All ids of a split, its shards one behind the other.
Ids split_ids(const std::filesystem::path& out, const std::string& split) {
  Ids ids;
  for (int n = 0;; ++n) {
    char name[32];
    std::snprintf(name, sizeof name, "%s_%06d.bin", split.c_str(), n);
    if (!std::filesystem::exists(out / name)) return ids;
    const Ids more = shard_ids(out / name);
    ids.insert(ids.end(), more.begin(), more.end());
  }
}

std::string split_text(const std::filesystem::path& out, const std::string& split) {
  const Tokenizer tokenizer = load_tokenizer((out / "tokenizer.json").string());
  return tokenizer.decode(split_ids(out, split));
}

json meta_of(const std::filesystem::path& out) { return json::parse(read_file(out / "meta.json")); }

std::string many_documents(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "document number " + std::to_string(i) + "\n<|endoftext|>\n";
  return text;
}

struct Fixture {
  TokenizeOptions options(const std::string& text, const std::string& tokenizer = "bytes") {
    TokenizeOptions made;
    made.inputs = {folder.write("in.txt", text).string()};
    made.tokenizer = tokenizer;
    made.out = folder.path() / "out";
    return made;
  }
  TemporaryFolder folder;
};
}  // namespace

TEST_CASE_FIXTURE(Fixture, "documents with the end of text between them, none lost, and what meta.json says of them") {
  TokenizeOptions with = options(many_documents(200));
  with.val_fraction = 0.1;
  REQUIRE(tokenize(with) == 0);
  const Ids train = split_ids(with.out, "train"), val = split_ids(with.out, "val");
  const json meta = meta_of(with.out);
  const auto ends = [](const Ids& ids) { return static_cast<std::size_t>(std::count(ids.begin(), ids.end(), 256u)); };
  CHECK(meta["train"]["documents"] == ends(train) + 1);
  CHECK(meta["val"]["documents"] == ends(val) + 1);
  CHECK(ends(train) + ends(val) + 2 == 200);
  CHECK(ends(val) > 5);
  CHECK(ends(val) < 40);
  CHECK(train.front() == 'd');
  CHECK(train.back() == '\n');
  CHECK(meta["train"]["tokens"] == train.size());
  CHECK(meta["train"]["bytes"] == train.size() - ends(train));
  CHECK(meta["vocab_size"] == 257);
  CHECK(meta["end_of_text"] == 256);
  CHECK(meta["val"]["shards"][0]["sha256"] == sha256_of_file(with.out / "val_000000.bin"));
  CHECK(meta["tokenizer_sha256"] == sha256_of_file(with.out / "tokenizer.json"));
  CHECK(meta["sources"][0]["sha256"] == sha256_of_file(with.inputs[0]));
  CHECK(vocabulary_beside(with.out / "train_000000.bin") == 257);
  std::filesystem::remove(with.out / "meta.json");
  CHECK(vocabulary_beside(with.out / "train_000000.bin") == 257);
  CHECK_FALSE(vocabulary_beside(folder.path() / "x.bin").has_value());
}

TEST_CASE_FIXTURE(Fixture, "the seed draws the split, and the same seed draws the same") {
  TokenizeOptions first = options(many_documents(100));
  TokenizeOptions again = first, other = first;
  again.out = folder.path() / "again";
  other.out = folder.path() / "other";
  other.seed = 1;
  tokenize(first), tokenize(again), tokenize(other);
  CHECK(read_file(first.out / "val_000000.bin") == read_file(again.out / "val_000000.bin"));
  CHECK(read_file(first.out / "meta.json") == read_file(again.out / "meta.json"));
  CHECK(read_file(first.out / "val_000000.bin") != read_file(other.out / "val_000000.bin"));
}

TEST_CASE_FIXTURE(Fixture, "a single document is split at its end") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>('a' + i % 26);
  TokenizeOptions with = options(text);
  with.shard_tokens = 300;  // the cut meets shards that are written already
  with.val_fraction = 0.25;
  REQUIRE(tokenize(with) == 0);
  CHECK(split_text(with.out, "train") == text.substr(0, 750));
  CHECK(split_text(with.out, "val") == text.substr(750));
  const json meta = meta_of(with.out);
  CHECK(meta["train"]["bytes"] == 750);
  CHECK(meta["val"]["bytes"] == 250);
  CHECK(meta["train"]["shards"].size() == 3);
}

TEST_CASE_FIXTURE(Fixture,
                  "few documents: the last one is for validation when none was drawn, and train is never empty") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    TokenizeOptions with = options("one\n<|endoftext|>\ntwo\n<|endoftext|>\nthree\n");
    with.seed = seed;
    with.force = true;
    REQUIRE(tokenize(with) == 0);
    const std::string train = split_text(with.out, "train");
    CHECK(train.starts_with("one\n"));
    CHECK_FALSE(train.ends_with(kEndOfText));  // it stands between documents only
    const std::string val = split_text(with.out, "val");
    CHECK((val == "two\n" || val == "three\n" || val == "two\n<|endoftext|>three\n"));
    const json meta = meta_of(with.out);
    CHECK(meta["train"]["documents"].get<int>() + meta["val"]["documents"].get<int>() == 3);
    CHECK(meta["train"]["bytes"].get<std::size_t>() + meta["val"]["bytes"].get<std::size_t>() == 14);
    CHECK(meta["train"]["tokens"] == split_ids(with.out, "train").size());
  }
}

TEST_CASE_FIXTURE(Fixture, "--val-fraction 0 writes no validation split; other values are refused") {
  TokenizeOptions with = options(many_documents(50));
  with.val_fraction = 0;
  REQUIRE(tokenize(with) == 0);
  CHECK_FALSE(std::filesystem::exists(with.out / "val_000000.bin"));
  CHECK(meta_of(with.out)["val"]["tokens"] == 0);
  for (const double wrong : {1.0, -0.1, std::numeric_limits<double>::quiet_NaN()}) {
    with.val_fraction = wrong;
    CHECK(contains(input_error([&] { tokenize(with); }), "[--val-fraction]"));
  }
}

TEST_CASE_FIXTURE(Fixture, "shards roll over, and together they are the stream of one shard") {
  TokenizeOptions one = options(many_documents(60)), several = one;
  several.out = folder.path() / "several";
  several.shard_tokens = 100;
  tokenize(one), tokenize(several);
  CHECK(std::filesystem::exists(several.out / "train_000010.bin"));
  CHECK(split_ids(several.out, "train") == split_ids(one.out, "train"));
  CHECK(split_ids(several.out, "val") == split_ids(one.out, "val"));
}

TEST_CASE_FIXTURE(Fixture, "bpe:SIZE trains, and FILE gives the same shards from what it saved") {
  TokenizeOptions trained = options(many_documents(300), "bpe:300");
  REQUIRE(tokenize(trained) == 0);
  CHECK(meta_of(trained.out)["tokenizer"] == "bpe");
  TokenizeOptions loaded = trained;
  loaded.tokenizer = (trained.out / "tokenizer.json").string();
  loaded.out = folder.path() / "loaded";
  REQUIRE(tokenize(loaded) == 0);
  CHECK(read_file(loaded.out / "train_000000.bin") == read_file(trained.out / "train_000000.bin"));
  CHECK(read_file(loaded.out / "tokenizer.json") == read_file(trained.out / "tokenizer.json"));
  for (const char* wrong : {"bpe:", "bpe:256", "bpe:x", "bpe:99999999", "bpe:300x"}) {
    trained.tokenizer = wrong;
    CHECK(contains(input_error([&] { tokenize(trained); }), "[--tokenizer]"));
  }
}

TEST_CASE_FIXTURE(Fixture, "a vocabulary beyond 65,536 ids is written as uint32") {
  json file = json::parse(tokenizer_json(bytes_vocabulary()));
  for (int i = 0; i < 65'400; ++i) file["model"]["vocab"]["token" + std::to_string(i)] = 257 + i;
  TokenizeOptions with = options("text", folder.write("big.json", file.dump()).string());
  with.val_fraction = 0;
  REQUIRE(tokenize(with) == 0);
  CHECK(TokenShard(with.out / "train_000000.bin").id_bytes() == 4);
}

TEST_CASE_FIXTURE(Fixture, "an output folder in use is an error; --force replaces all of it") {
  TokenizeOptions with = options(many_documents(60));
  with.shard_tokens = 100;
  tokenize(with);
  CHECK(contains(input_error([&] { tokenize(with); }), "or --force"));
  TokenizeOptions small = options("short");
  small.force = true;
  REQUIRE(tokenize(small) == 0);
  CHECK_FALSE(std::filesystem::exists(with.out / "train_000001.bin"));
}

TEST_CASE_FIXTURE(Fixture, "a failure on the way leaves no shard behind") {
  TokenizeOptions with = options(many_documents(500));
  with.inputs.push_back(folder.write("bad.jsonl", "{\"text\":\"fine\"}\nbroken\n").string());
  with.shard_tokens = 100;
  CHECK(contains(input_error([&] { tokenize(with); }), "bad.jsonl line 2 byte 1]"));
  CHECK_FALSE(std::filesystem::exists(with.out));
  with.inputs = {folder.write("empty.txt", "").string()};
  CHECK(contains(input_error([&] { tokenize(with); }), "no document"));
}

TEST_CASE_FIXTURE(Fixture, "--force keeps the old set when the new input is malformed, empty or not there") {
  TokenizeOptions with = options(many_documents(60));
  tokenize(with);
  const std::string shard = read_file(with.out / "train_000000.bin"), meta = read_file(with.out / "meta.json");
  with.force = true;
  for (const char* input : {"bad.jsonl", "empty.txt", "nowhere.txt", "null.jsonl"}) {
    if (std::string(input) != "nowhere.txt") folder.write(input, *input == 'e' ? "" : "{\"text\":null}\n");
    for (const char* tokenizer : {"bytes", "bpe:300"}) {
      with.inputs = {(folder.path() / input).string()};
      with.tokenizer = tokenizer;
      with.skip_bad_lines = *input == 'n';
      CHECK(input_error([&] { tokenize(with); }).find('[') == 0);
      CHECK(read_file(with.out / "train_000000.bin") == shard);
      CHECK(read_file(with.out / "meta.json") == meta);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "lines that were skipped are counted in meta.json") {
  TokenizeOptions with = options("text");
  with.inputs.push_back(folder.write("in.jsonl", "{\"text\":\"a\"}\n{\"text\":null}\n").string());
  with.skip_bad_lines = true;
  REQUIRE(tokenize(with) == 0);
  CHECK_FALSE(meta_of(with.out)["sources"][0].contains("skipped_lines"));
  CHECK(meta_of(with.out)["sources"][1]["skipped_lines"] == 1);
}

TEST_CASE("--ids takes everything as text, --decode gives the bytes back, and refuses what is no id") {
  Tokenizer tokenizer(gpt2_vocabulary("tests/golden/gpt2"), "golden");
  const auto through = [](const std::string& input, auto&& action) {
    std::FILE* const in = std::tmpfile();
    std::FILE* const out = std::tmpfile();
    std::fwrite(input.data(), 1, input.size(), in);
    std::rewind(in);
    std::string result;
    const std::string error = input_error([&] { action(in, out); });
    std::rewind(out);
    for (int c; (c = std::getc(out)) != EOF;) result += static_cast<char>(c);
    std::fclose(in), std::fclose(out);
    return error.empty() ? result : error;
  };
  const auto ids = [&](const std::string& text) {
    return through(text, [&](std::FILE* in, std::FILE* out) { print_ids(tokenizer, in, out); });
  };
  const auto bytes = [&](const std::string& text) {
    return through(text, [&](std::FILE* in, std::FILE* out) { print_decoded(tokenizer, in, out); });
  };
  Philox random(3);
  std::string text = "<|endoftext|> It's\n\n  text\t";
  for (int i = 0; i < 200'000; ++i) text += static_cast<char>(random.next());
  Ids expected;
  tokenizer.encode(text, expected);
  std::string line;
  for (const std::uint32_t id : expected) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  CHECK(ids(text) == line + "\n");
  CHECK(bytes(ids(text)) == text);
  CHECK(ids("") == "\n");
  CHECK(bytes(" 65\n\t66 ") == tokenizer.decode(Ids{65, 66}));
  CHECK(contains(bytes("65 x"), "[standard input, id number 1]"));
  CHECK(contains(bytes("999999"), "got '999999'"));
  CHECK(contains(bytes("-1"), "got '-1'"));
}

}  // namespace isoloss
