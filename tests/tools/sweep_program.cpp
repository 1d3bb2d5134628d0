// The program as a whole: it starts runs, keeps what is finished, goes on where it was stopped.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/run_manifest.h"
#include "tests/tools/sweep_fixture.h"
#include "tools/sweep/listing.h"

namespace isoloss {

using nlohmann::json;

namespace {

const std::string kRuns[] = {"small/baseline/seed1", "small/layernorm/seed1", "small/baseline-A-A/seed1001",
                             "small/baseline/seed2", "small/layernorm/seed2", "small/baseline-A-A/seed1002",
                             "large/baseline/seed1", "large/layernorm/seed1", "large/baseline-A-A/seed1001",
                             "large/baseline/seed2", "large/layernorm/seed2", "large/baseline-A-A/seed1002"};

json manifest(const SweepFolder& folder, const std::string& run) {
  return json::parse(folder.read("out/" + run + "/manifest.json"), nullptr, false);
}

bool finished(const SweepFolder& folder, const std::string& run) {
  const json m = manifest(folder, run);
  return m.is_object() && m["status"] == "finished";
}

}  // namespace

TEST_CASE("a sweep makes every run once, labelled, and keeps them") {
  const SweepFolder folder;
  const ProgramResult first = folder.sweep({"--jobs", "2", "--threads", "2"});
  CAPTURE(first.error);
  CHECK(first.code == 0);
  CHECK(first.out == "ceg " + shell_word((folder / "out").string()) + " --baseline baseline\n");
  for (const std::string& run : kRuns) {
    CAPTURE(run);
    CHECK(finished(folder, run));
    CHECK(contains(first.error, run + "  val_loss 2."));  // piped: one line per run
  }
  CHECK(std::ranges::count(first.error, '\n') == 12);
  CHECK(manifest(folder, kRuns[7])["sweep"] ==
        json({{"variant", "layernorm"}, {"class", "compute-independent"}, {"scale", "large"}, {"seed", 1}}));
  CHECK(manifest(folder, kRuns[2])["sweep"]["variant"] == "baseline (A/A)");
  CHECK(manifest(folder, kRuns[2])["seed"] == 1001);

  const json record = json::parse(folder.read("out/sweep.json"));
  CHECK(record["runs"].size() == 12);
  CHECK(record["runs"][0]["state"] == "finished");
  CHECK(record["runs"][0]["val_loss"].get<double>() > 2);

  const ProgramResult second = folder.sweep();
  CHECK(second.code == 0);
  for (const std::string& run : kRuns) CHECK(folder.read("out/" + run + "/starts.txt") == "started\n");
}

TEST_CASE("a changed suite does not touch the runs of the old one") {
  const SweepFolder folder;
  CHECK(folder.sweep().code == 0);
  folder.write("suite.toml", with(small_suite(), "steps = 10", "steps = 12"));
  const ProgramResult changed = folder.sweep();
  CHECK(changed.code == 2);
  CHECK(std::ranges::count(changed.error, '\n') == 1);
  CHECK(contains(changed.error, "small/baseline/seed1] expected the suite's "));
  CHECK(contains(changed.error, "run.steps = 12"));
  for (const std::string& run : kRuns) CHECK(folder.read("out/" + run + "/starts.txt") == "started\n");

  // One more variant and one more seed change none of the runs that are there.
  folder.write("suite.toml", with(small_suite(), "[1, 2]", "[1, 2, 3]") +
                                 "[[variant]]\nname = \"rope\"\nclass = \"compute-dependent\"\n"
                                 "set = [\"model.positions=rope\"]\n");
  CHECK(folder.sweep().code == 0);
  CHECK(finished(folder, "large/rope/seed3"));
  for (const std::string& run : kRuns) CHECK(folder.read("out/" + run + "/starts.txt") == "started\n");
}

TEST_CASE("a changed variant, runs of another suite and records cut short are noticed") {
  const SweepFolder folder;
  CHECK(folder.sweep({"--only", "small/*/seed1"}).code == 0);
  folder.write("suite.toml", with(small_suite(), "model.norm=layernorm", "model.norm=rmsnorm"));
  const ProgramResult variant = folder.sweep({"--only", "small/baseline/*"});  // checked, though not asked for
  CHECK(variant.code == 2);
  CHECK(contains(variant.error, "small/layernorm/seed1] expected the suite's model.norm = \"rmsnorm\""));
  folder.write("suite.toml", with(small_suite(), "compute-independent", "systems"));
  CHECK(contains(folder.sweep().error, "expected the suite's class = \"systems\""));
  folder.write("suite.toml", small_suite());
  const std::string evaluations = folder.read("out/small/baseline/seed1/eval.jsonl");
  folder.write("out/small/baseline/seed1/eval.jsonl", evaluations.substr(0, evaluations.find('\n') + 1));
  const ProgramResult cut = folder.sweep();
  CHECK(cut.code == 2);
  CHECK(
      contains(cut.error, "eval.jsonl] expected the validation loss after step 10 of a finished run as its last line"));
}

TEST_CASE("finished runs that read other data under the same names are not compared") {
  for (const std::string shard : {"data/train.bin", "data/val.bin"}) {
    CAPTURE(shard);
    const SweepFolder folder;
    CHECK(folder.sweep({"--only", "small/*/seed1"}).code == 0);
    const std::string before = folder.read(shard);
    folder.write(shard, std::string(4094, '\0') + "a" + '\0');
    const ProgramResult mixed = folder.sweep({"--only", "small/baseline/seed2"});
    CHECK(mixed.code == 2);
    CHECK(mixed.out.empty());
    CHECK(contains(mixed.error, "small/baseline/seed2] expected data." +
                                    std::string(shard == "data/val.bin" ? "val" : "train") +
                                    " as small/baseline/seed1 has read it, got other data under the same names"));
    CHECK(folder.sweep({"--only", "small/layernorm/seed2"}).code == 2);  // and nothing more is made
    CHECK(!finished(folder, "small/layernorm/seed2"));
    folder.write(shard, before);
    std::filesystem::remove_all(folder / "out/small/baseline/seed2");
    const ProgramResult whole = folder.sweep({"--only", "small/baseline/seed2"});
    CHECK(whole.code == 0);
    CHECK(!contains(whole.error, "warning"));
    const ProgramResult elsewhere = folder.sweep({"--only", "small/layernorm/seed2", "--device", "cpu"});
    CHECK(elsewhere.code == 0);
    CHECK(contains(elsewhere.error, "warning: small/baseline/seed1 was made on auto, small/layernorm/seed2 on cpu"));
  }
}

TEST_CASE("finished runs of two tokenizers are not compared, runs on data of their own are no other data") {
  const SweepFolder folder;
  folder.write("data/other.bin", std::string(4094, '\0') + "a" + '\0');
  folder.write("suite.toml",
               with(small_suite(), "model.width=128\"", "model.width=128\", \"data.val=data/other.bin\""));
  CHECK(folder.sweep({"--only", "*/baseline/seed*"}).code == 0);
  CHECK(folder.sweep({"--only", "large/layernorm/seed1"}).code == 0);
  for (const std::string seed : {"1", "2"}) {
    const std::filesystem::path run = folder / ("out/small/baseline/seed" + seed);
    Manifest manifest = read_manifest(run);
    manifest.tokenizer_sha256 = std::string(64, seed[0]);
    write_manifest(run, manifest);
  }
  const ProgramResult mixed = folder.sweep({"--only", "small/layernorm/seed2"});
  CHECK(mixed.code == 2);
  CHECK(contains(mixed.error, "small/baseline/seed2] expected the tokenizer as small/baseline/seed1 has read it"));
}

TEST_CASE("a failing run does not stop the others, and is tried again") {
  const SweepFolder folder;
  const ProgramResult failed = folder.sweep({}, {{"FAKE_TRAIN_FAIL", "layernorm"}});
  CHECK(failed.code == 1);
  CHECK(contains(failed.error,
                 "error: [small/layernorm/seed1] expected every run to finish, got 4 failed, this one with: "
                 "[fake op] expected to work, got a failure on purpose\n"));
  CHECK(failed.out.empty());
  for (const std::string& run : kRuns) CHECK(finished(folder, run) == !contains(run, "layernorm"));
  CHECK(json::parse(folder.read("out/sweep.json"))["runs"][1]["state"] == "failed");

  CHECK(folder.sweep().code == 0);
  for (const std::string& run : kRuns) CHECK(finished(folder, run));
  CHECK(folder.read("out/small/baseline/seed1/starts.txt") == "started\n");
}

TEST_CASE("a diverged run is a failure, and is not repeated") {
  const SweepFolder folder;
  folder.write("suite.toml", with(small_suite(), "[\"model.norm=layernorm\"]",
                                  "[\"model.norm=layernorm\", \"optimizer.learning_rate=2.0\"]"));
  for (int i = 0; i < 2; ++i) {
    const ProgramResult result = folder.sweep();
    CHECK(result.code == 1);
    CHECK(contains(result.error, "[small/layernorm/seed1]"));
    CHECK(contains(result.error, "diverged"));
    CHECK(folder.read("out/small/layernorm/seed1/starts.txt") == "started\n");
  }
}

TEST_CASE("an interrupted sweep stops its runs at a checkpoint and goes on from there") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const SweepFolder folder;
    const pid_t process = folder.start({"--jobs", "2", "--threads", "2"}, {{"FAKE_TRAIN_STEP_MS", "100"}});
    folder.wait_for_log(kRuns[0]);
    folder.wait_for_log(kRuns[1]);
    ::kill(process, signal);
    const ProgramResult stopped = folder.wait(process);
    CHECK(stopped.code == 130);
    CHECK(stopped.out.empty());
    CHECK(contains(stopped.error, "stopped after 0 of 12 runs; the same command goes on"));
    CHECK(manifest(folder, kRuns[0])["status"] == "interrupted");
    CHECK(manifest(folder, kRuns[1])["status"] == "interrupted");
    CHECK(folder.read("out/" + kRuns[2] + "/starts.txt").empty());

    CHECK(folder.sweep().code == 0);
    CHECK(folder.read("out/" + kRuns[0] + "/starts.txt") == "started\nresumed\n");
    CHECK(folder.read("out/" + kRuns[2] + "/starts.txt") == "started\n");
    // Ten steps, each once.
    CHECK(std::ranges::count(folder.read("out/" + kRuns[0] + "/log.jsonl"), '\n') == 10);
  }
}

TEST_CASE("a killed sweep takes its runs along, and what has no checkpoint starts afresh") {
  const SweepFolder folder;
  const pid_t process = folder.start({}, {{"FAKE_TRAIN_STEP_MS", "50"}});
  folder.wait_for_log(kRuns[0]);
  ::kill(process, SIGKILL);
  CHECK(folder.wait(process).code == 128 + SIGKILL);
  // At once: the run may still be writing its checkpoint, and nothing else may start in its folder.
  CHECK(folder.sweep().code == 0);
  CHECK(folder.read("out/" + kRuns[0] + "/starts.txt") == "started\nresumed\n");

  // The remains of a run that was killed before its first checkpoint.
  std::filesystem::remove(folder / ("out/" + kRuns[3] + "/model.safetensors"));
  folder.write("out/" + kRuns[3] + "/manifest.json",
               with(folder.read("out/" + kRuns[3] + "/manifest.json"), "finished", "running"));
  CHECK(folder.sweep().code == 0);
  CHECK(folder.read("out/" + kRuns[3] + "/starts.txt") == "started\nstarted\n");
  CHECK(std::ranges::count(folder.read("out/" + kRuns[3] + "/log.jsonl"), '\n') == 10);
}

TEST_CASE("--only picks runs, --dry-run starts nothing") {
  const SweepFolder folder;
  const ProgramResult plan = folder.sweep({"--dry-run"});
  CHECK(plan.code == 0);
  CHECK(contains(plan.out, "12 runs, 0 finished; 120 steps, 92,160 tokens\n"));  // 12 sequences of 64 tokens a step
  CHECK(!std::filesystem::exists(folder / "out"));

  const ProgramResult alone = folder.sweep({"--only", "small/layernorm/seed1"});
  CHECK(alone.code == 0);
  CHECK(alone.out.empty());  // no call of ceg that could only fail
  CHECK(contains(alone.error, "no run of the baseline is finished yet"));
  CHECK(contains(folder.sweep({"--only", "small/*/seed1"}).out, "ceg "));
  CHECK(finished(folder, kRuns[0]));
  CHECK(finished(folder, kRuns[1]));
  CHECK(!finished(folder, kRuns[2]));
  CHECK(contains(folder.sweep({"--dry-run"}).out, "12 runs, 2 finished"));

  const ProgramResult nothing = folder.sweep({"--only", "tiny/*"});
  CHECK(nothing.code == 2);
  CHECK(contains(nothing.error, "error: [--only] expected a pattern that fits"));
  const ProgramResult one_of_two = folder.sweep({"--only", "small/*", "--only", "tiny/*"});
  CHECK(one_of_two.code == 2);
  CHECK(contains(one_of_two.error, "got tiny/*"));

  CHECK(folder.sweep().code == 0);
  CHECK(folder.sweep({"--only", "small/*/seed1"}).code == 0);
  const json record = json::parse(folder.read("out/sweep.json"));  // of every run, also those left out this time
  for (const json& run : record["runs"]) CHECK(run["state"] == "finished");
}

TEST_CASE("what the suite decides, --set cannot; unknown devices show before anything starts") {
  const SweepFolder folder;
  const ProgramResult seed = folder.sweep({"--set", "run.seed=4"});
  CHECK(seed.code == 2);
  CHECK(contains(seed.error, "run.seed] expected the seeds in `seeds`, got run.seed=4\n"));
  const ProgramResult device = folder.sweep({"--device", "abacus"});
  CHECK(device.code == 2);
  CHECK(contains(device.error, "error: [--device] expected auto, cpu, cuda, ref or check, got abacus"));
  // --slurm "$FILE" without a FILE asks for no run here.
  const ProgramResult script = folder.sweep({"--slurm", ""});
  CHECK(script.code == 2);
  CHECK(contains(script.error, "error: [--slurm] expected a path, got nothing"));
  CHECK(!std::filesystem::exists(folder / "out"));
}

TEST_CASE("missing data and programs are found before anything starts") {
  const SweepFolder folder;
  std::filesystem::remove(folder / "data/val.bin");
  const ProgramResult missing = folder.sweep();
  CHECK(missing.code == 2);
  CHECK(contains(missing.error, "val.bin"));
  CHECK(!std::filesystem::exists(folder / "out/small"));

  folder.write("suite.toml", with(small_suite(), "train = \"data/train.bin\"", ""));
  const ProgramResult unnamed = folder.sweep();
  CHECK(unnamed.code == 2);
  CHECK(contains(unnamed.error, "data.train"));
}

TEST_CASE("shards of two tokenizers are refused, and with --any-tokenizer taken here and in every run") {
  const SweepFolder folder;
  folder.write("suite.toml", with(small_suite(), "[\"data/val.bin\"]", "[\"other/val.bin\"]"));
  folder.write("other/val.bin", folder.read("data/val.bin"));
  folder.write("data/meta.json", R"({"vocab_size": 256, "tokenizer_sha256": "aa"})");
  folder.write("other/meta.json", R"({"vocab_size": 256, "tokenizer_sha256": "bb"})");
  const ProgramResult refused = folder.sweep();
  CHECK(refused.code == 2);
  CHECK(contains(refused.error, "those of another one, of SHA-256 bb; --any-tokenizer takes them"));
  CHECK(!std::filesystem::exists(folder / "out"));
  CHECK(folder.sweep({"--any-tokenizer", "--only", "small/*/seed1"}).code == 0);
  for (const std::string run : {"small/baseline/seed1", "small/layernorm/seed1"}) {
    CHECK(finished(folder, run));
    CHECK(folder.read("out/" + run + "/any_tokenizer.txt") == "yes\n");
  }
  folder.write("other/meta.json", R"({"vocab_size": 256, "tokenizer_sha256": "aa"})");
  CHECK(folder.sweep({"--only", "large/baseline/seed1"}).code == 0);
  CHECK(!std::filesystem::exists(folder / "out/large/baseline/seed1/any_tokenizer.txt"));  // not unless asked for
}

}  // namespace isoloss
