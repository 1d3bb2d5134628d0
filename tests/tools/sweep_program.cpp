// The program as a whole: it starts runs, keeps what is finished, goes on where it was stopped.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

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

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Waits until a run has logged something; ten minutes at most, which is far more than a loaded machine takes.
void wait_for_log(const SweepFolder& folder, const std::string& run) {
  for (int i = 0; i < 60'000 && folder.read("out/" + run + "/log.jsonl").empty(); ++i) ::usleep(10'000);
  REQUIRE(!folder.read("out/" + run + "/log.jsonl").empty());
}

}  // namespace

TEST_CASE("a sweep makes every run once, labelled, and keeps them") {
  const SweepFolder folder;
  const ProgramResult first = folder.sweep({"--jobs", "2"});
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
    const pid_t process = folder.start({"--jobs", "2"}, {{"FAKE_TRAIN_STEP_MS", "100"}});
    wait_for_log(folder, kRuns[0]);
    wait_for_log(folder, kRuns[1]);
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
  wait_for_log(folder, kRuns[0]);
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

TEST_CASE("--only picks runs, --dry-run and --slurm start nothing") {
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

  CHECK(folder.sweep({"--slurm", (folder / "job.sh").string()}).code == 0);
  const std::string job = folder.read("job.sh");
  CHECK(contains(job, "#SBATCH --array=0-9\n"));
  CHECK(contains(job, "  small/baseline-A-A/seed1001\n"));
  CHECK(!contains(job, "  small/baseline/seed1\n"));
  // --set data.train=data/… means the folder in which this was typed.
  CHECK(contains(job, "\ncd " + std::filesystem::current_path().string() + "\n"));

  CHECK(folder.sweep().code == 0);
  CHECK(folder.sweep({"--only", "small/*/seed1"}).code == 0);
  const json record = json::parse(folder.read("out/sweep.json"));  // of every run, also those left out this time
  for (const json& run : record["runs"]) CHECK(run["state"] == "finished");
  const ProgramResult none_left = folder.sweep({"--slurm", (folder / "none.sh").string()});
  CHECK(none_left.code == 0);
  CHECK(contains(none_left.error, "every run is finished"));
  CHECK(!std::filesystem::exists(folder / "none.sh"));
}

TEST_CASE("what the suite decides, --set cannot; unknown devices show before anything starts") {
  const SweepFolder folder;
  const ProgramResult seed = folder.sweep({"--set", "run.seed=4"});
  CHECK(seed.code == 2);
  CHECK(contains(seed.error, "run.seed] expected the seeds in `seeds`, got run.seed=4\n"));
  const ProgramResult device = folder.sweep({"--device", "abacus"});
  CHECK(device.code == 2);
  CHECK(contains(device.error, "error: [--device] expected auto, cpu, cuda, ref or check, got abacus"));
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

}  // namespace isoloss
