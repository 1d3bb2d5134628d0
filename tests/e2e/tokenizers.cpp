// Shards, runs, weights and tokenizers that were not made together, although they have as many ids.
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/shard.h"
#include "data/tokenizer.h"
#include "kernels/base/file.h"
#include "tests/e2e/fixture.h"

using namespace isoloss;
using namespace isoloss::test;

namespace fs = std::filesystem;

namespace {
constexpr auto kReplace = fs::copy_options::overwrite_existing;

/// Two folders of shards, `a` and `b`, each with a tokenizer of 300 ids of its own.
struct TwoTokenizers {
  TwoTokenizers() {
    std::string stories, other;
    for (int i = 0; i < 2000; ++i) stories += "once upon a time there was a fox, number " + std::to_string(i) + "\n";
    for (int i = 0; i < 2000; ++i) other += "zq xv quux frobnicate " + std::to_string(i * i) + "\n";
    put_file(folder / "a.txt", stories);
    put_file(folder / "b.txt", other);
    for (const std::string name : {"a", "b"}) {
      const ProcessResult made =
          run({program("tokenize"), path(name + ".txt"), "--tokenizer", "bpe:300", "--out", path(name)});
      REQUIRE_MESSAGE(made.exit_code == 0, made.err);
    }
  }
  std::string path(const std::string& name) const { return folder / name; }
  std::string hash(const std::string& name) const {
    return nlohmann::json::parse(read_file(path(name + "/meta.json"))).at("tokenizer_sha256");
  }
  std::vector<std::string> train(const std::string& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command{program("train"), "nano", "--out", path(out), "--threads", "1"};
    for (const std::string& set :
         {std::string("model.layers=1"), std::string("model.width=16"), std::string("model.heads=2"),
          std::string("model.context=16"), std::string("run.steps=2"), std::string("run.micro_batch=2"),
          std::string("run.batch_tokens=32"), std::string("run.eval_tokens=64"), "data.train=" + path("a/train_*.bin"),
          "data.val=" + path("a/val_*.bin")}) {
      command.insert(command.end(), {"--set", set});
    }
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  /// Exit code 2 and one line that holds both hashes; --any-tokenizer takes it.
  void check_refused(const std::vector<std::string>& command) const {
    const ProcessResult refused = isoloss::test::run(command);
    CHECK_MESSAGE(refused.exit_code == 2, refused.err);
    CHECK_MESSAGE(ends_with_one_error(refused.err), refused.err);
    CHECK_MESSAGE(refused.err.find(hash("a")) != std::string::npos, refused.err);
    CHECK_MESSAGE(refused.err.find(hash("b")) != std::string::npos, refused.err);
    std::vector<std::string> any = command;
    any.push_back("--any-tokenizer");
    const ProcessResult taken = isoloss::test::run(any);
    CHECK_MESSAGE(taken.exit_code == 0, taken.err);
  }
  TemporaryFolder folder;
};
}  // namespace

TEST_CASE_FIXTURE(TwoTokenizers, "shards of two tokenizers with as many ids do not meet in a run") {
  REQUIRE(hash("a") != hash("b"));
  check_refused(train("val", {"--set", "data.val=" + path("b/val_*.bin")}));
  check_refused(train("both", {"--set", "data.train=[\"" + path("a/train_000000.bin") + "\", \"" +
                                            path("b/train_000000.bin") + "\"]"}));
  // The same tokenizer, made again elsewhere, is the same.
  REQUIRE(run({program("tokenize"), path("b.txt"), "--tokenizer", path("a/tokenizer.json"), "--out", path("c")})
              .exit_code == 0);
  const ProcessResult same = run(train("same", {"--set", "data.val=" + path("c/val_*.bin")}));
  CHECK_MESSAGE(same.exit_code == 0, same.err);
  // Shards of other programs carry no hash: unknown is not different.
  fs::create_directory(path("bare"));
  fs::copy_file(path("b/val_000000.bin"), path("bare/val.bin"));
  const ProcessResult bare = run(train("bare_run", {"--set", "data.val=" + path("bare/val.bin")}));
  CHECK_MESSAGE(bare.exit_code == 0, bare.err);
}

TEST_CASE_FIXTURE(TwoTokenizers, "a run meets shards and a tokenizer.json of another tokenizer") {
  const ProcessResult trained = run(train("run"));
  REQUIRE_MESSAGE(trained.exit_code == 0, trained.err);
  CHECK(read_file(path("run/manifest.json")).find(hash("a")) != std::string::npos);
  check_refused({program("evaluate"), "--run", path("run"), "--data", path("b/val_000000.bin")});
  put_file(path("c.toml"),
           "extends = \"nano\"\n[model]\nlayers = 1\nwidth = 16\nheads = 2\ncontext = 16\nvocab = 300\n");
  check_refused({program("evaluate"), "--weights", path("run/model.safetensors"), "--config", path("c.toml"), "--data",
                 path("b/val_000000.bin")});
  check_refused({program("evaluate"), "--weights", path("run/checkpoints/step_00000002/model.safetensors"), "--config",
                 path("c.toml"), "--data", path("b/val_000000.bin")});
  check_refused(train("tuned", {"--init-from", path("run/model.safetensors"), "--set",
                                "data.train=" + path("b/train_*.bin"), "--set", "data.val=" + path("b/val_*.bin")}));
  const ProcessResult begun = run(train("begun", {"--device", "cpu"}));
  REQUIRE_MESSAGE(begun.exit_code == 0, begun.err);
  std::string manifest = read_file(path("begun/manifest.json"));
  manifest.replace(manifest.find("\"finished\""), 10, "\"running\"");
  put_file(path("begun/manifest.json"), manifest);
  fs::rename(path("a"), path("kept"));
  fs::copy(path("b"), path("a"), fs::copy_options::recursive);
  fs::copy_file(path("kept/meta.json"), path("a.json"));
  const std::string before = nlohmann::json::parse(read_file(path("a.json"))).at("tokenizer_sha256");
  const std::vector<std::vector<std::string>> commands{train("begun", {"--device", "cpu", "--resume"}),
                                                       {program("evaluate"), "--run", path("run")},
                                                       {program("generate"), "--run", path("run"), "--tokens", "3"}};
  for (const auto& command : commands) {
    const ProcessResult refused = run(command);
    CHECK_MESSAGE(refused.exit_code == 2, refused.err);
    CHECK_MESSAGE(refused.err.find(before) != std::string::npos, refused.err);
    CHECK_MESSAGE(refused.err.find(hash("b")) != std::string::npos, refused.err);
  }
}

TEST_CASE_FIXTURE(TwoTokenizers, "weights know their tokenizer wherever they are copied") {
  REQUIRE(run(train("run", {"--set", "run.checkpoint_every=1"})).exit_code == 0);
  fs::create_directory(path("elsewhere"));
  fs::copy_file(path("run/model.safetensors"), path("elsewhere/mine.safetensors"));
  fs::copy_file(path("run/checkpoints/step_00000001/model.safetensors"), path("elsewhere/first.safetensors"));
  put_file(path("c.toml"),
           "extends = \"nano\"\n[model]\nlayers = 1\nwidth = 16\nheads = 2\ncontext = 16\nvocab = 300\n");
  for (const std::string name : {"elsewhere/mine.safetensors", "elsewhere/first.safetensors"}) {
    CAPTURE(name);
    const auto evaluate = [&](const std::string& shard) {
      return std::vector<std::string>{program("evaluate"), "--weights", path(name), "--config",
                                      path("c.toml"),      "--data",    path(shard)};
    };
    const ProcessResult own = run(evaluate("a/val_000000.bin"));
    CHECK_MESSAGE(own.exit_code == 0, own.err);
    check_refused(evaluate("b/val_000000.bin"));
    check_refused(train("tuned_" + fs::path(name).stem().string(),
                        {"--init-from", path(name), "--set", "data.train=" + path("b/train_*.bin"), "--set",
                         "data.val=" + path("b/val_*.bin")}));
  }
}

TEST_CASE_FIXTURE(TwoTokenizers, "a shard that came from elsewhere is not taken for the tokenizer's beside it") {
  fs::copy_file(path("b/train_000000.bin"), path("a/train_000001.bin"));
  const ProcessResult added = run(train("added"));
  CHECK_MESSAGE(added.exit_code == 2, added.err);
  CHECK_MESSAGE(added.err.find("a/train_000001.bin] expected a shard that meta.json") != std::string::npos, added.err);
  CHECK_FALSE(fs::exists(path("added")));
  REQUIRE(run(train("added", {"--any-tokenizer"})).exit_code == 0);
  // Bits per byte need the text's tokenizer, which nobody knows here.
  const ProcessResult other = run(
      {program("evaluate"), "--run", path("added"), "--data", path("a/train_000001.bin"), "--any-tokenizer", "--json"});
  REQUIRE_MESSAGE(other.exit_code == 0, other.err);
  CHECK(nlohmann::json::parse(other.out).at("bits_per_byte").is_null());
  fs::remove(path("a/train_000001.bin"));
  fs::copy_file(path("b/train_000000.bin"), path("a/train_000000.bin"), kReplace);
  const ProcessResult replaced = run(train("replaced"));
  CHECK_MESSAGE(replaced.exit_code == 2, replaced.err);
  CHECK_MESSAGE(replaced.err.find("the shard that meta.json beside it lists, of SHA-256") != std::string::npos,
                replaced.err);
}

TEST_CASE_FIXTURE(TwoTokenizers, "evaluate: targets of whole windows, their mean, and the bytes they stand for") {
  REQUIRE(run(train("run")).exit_code == 0);
  const std::string shard = path("a/val_000000.bin");
  const auto evaluated = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{program("evaluate"), "--run", path("run"), "--json"};
    command.insert(command.end(), more.begin(), more.end());
    const ProcessResult result = run(command);
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
    return nlohmann::json::parse(result.out);
  };
  const TokenShard ids(shard);
  REQUIRE(ids.size() > 16 * 20);
  const std::uint64_t windows = (ids.size() - 1) / 16;
  REQUIRE((ids.size() - 1) % 16 != 0);  // a partial last window
  const Tokenizer tokenizer = load_tokenizer(path("a/tokenizer.json"));
  for (const std::uint64_t tokens : {std::uint64_t{0}, std::uint64_t{16}, std::uint64_t{16 * 3 + 5}}) {
    CAPTURE(tokens);
    const auto json = evaluated({"--tokens", std::to_string(tokens)});
    const std::uint64_t targets = 16 * (tokens == 0 ? windows : tokens / 16);
    CHECK(json.at("tokens") == targets);
    const double loss = json.at("val_loss");
    CHECK(json.at("perplexity").get<double>() == doctest::Approx(std::exp(loss)).epsilon(1e-12));
    double bytes = 0;
    for (std::uint64_t i = 1; i <= targets; ++i) bytes += tokenizer.bytes_of_token(ids[i]);
    CHECK(json.at("bits_per_byte").get<double>() ==
          doctest::Approx(loss * static_cast<double>(targets) / std::log(2.0) / bytes).epsilon(1e-12));
  }
  // Two shards of different lengths: each window counts once.
  const std::string other = path("a/train_000000.bin");
  const auto first = evaluated({"--data", shard}), second = evaluated({"--data", other}),
             both = evaluated({"--data", shard, other});
  const double one = first.at("tokens"), two = second.at("tokens");
  REQUIRE(one != two);
  CHECK(both.at("tokens") == one + two);
  CHECK(both.at("val_loss").get<double>() ==
        doctest::Approx((one * first.at("val_loss").get<double>() + two * second.at("val_loss").get<double>()) /
                        (one + two))
            .epsilon(1e-6));  // float32, other rows beside each other
  // Without a tokenizer nobody knows the bytes.
  fs::create_directory(path("bare"));
  fs::copy_file(shard, path("bare/val.bin"));
  CHECK(evaluated({"--data", path("bare/val.bin")}).at("bits_per_byte").is_null());
}

TEST_CASE_FIXTURE(TwoTokenizers, "files that were replaced one by one beside each other") {
  REQUIRE(run(train("run")).exit_code == 0);
  SUBCASE("tokenizer.json") {
    fs::copy_file(path("b/tokenizer.json"), path("a/tokenizer.json"), kReplace);
    check_refused(train("again"));
    check_refused({program("generate"), "--run", path("run"), "--tokens", "3"});
    check_refused({program("evaluate"), "--run", path("run")});
  }
  SUBCASE("a tokenizer.json that was only formatted anew is the same") {
    const auto json = nlohmann::ordered_json::parse(read_file(path("a/tokenizer.json")));
    put_file(path("a/tokenizer.json"), json.dump());
    CHECK(run(train("again")).exit_code == 0);
    CHECK(run({program("generate"), "--run", path("run"), "--tokens", "3"}).exit_code == 0);
  }
  SUBCASE("one id of a shard") {
    const std::string shard = path("a/val_000000.bin"), old = sha256_of_file(shard);
    std::string bytes = read_file(shard);
    bytes[1024] = bytes[1024] == 'a' ? 'b' : 'a';  // the first id; as many tokens as before
    put_file(shard, bytes);
    const ProcessResult refused = run({program("evaluate"), "--run", path("run")});
    CHECK_MESSAGE(refused.exit_code == 2, refused.err);
    CHECK_MESSAGE(refused.err.find(old) != std::string::npos, refused.err);
  }
  SUBCASE("a shard") {
    const std::string shard = path("a/val_000000.bin"), old = sha256_of_file(shard);
    fs::copy_file(path("b/val_000000.bin"), shard, kReplace);
    for (const auto& command : {train("again"),
                                {program("evaluate"), "--run", path("run")},
                                {program("evaluate"), "--run", path("run"), "--data", shard}}) {
      const ProcessResult refused = run(command);
      CHECK_MESSAGE(refused.exit_code == 2, refused.err);
      CHECK_MESSAGE(refused.err.find(old) != std::string::npos, refused.err);
      CHECK_MESSAGE(refused.err.find(sha256_of_file(shard)) != std::string::npos, refused.err);
    }
  }
}
