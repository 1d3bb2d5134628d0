// What can happen to a sweep: it cannot write, it is killed, it gets fewer processors than it was told.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/base/philox.h"
#include "tests/tools/sweep_fixture.h"
#include "tools/sweep/child.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

/// SIGKILL to a sweep and to the runs that it has started.
void kill_all(pid_t sweep) {
  const std::string self = std::to_string(sweep);
  std::istringstream children(read_file("/proc/" + self + "/task/" + self + "/children"));
  ::kill(sweep, SIGKILL);
  for (pid_t child = 0; children >> child;) ::kill(child, SIGKILL);
}

/// The records of all runs in one text.
std::string records(const SweepFolder& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "out")) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::string text;
  for (const fs::path& file : files) text += file.lexically_relative(folder / "out").string() + "\n" + read_file(file);
  return text;
}

}  // namespace

TEST_CASE("a sweep that cannot write its summary stops its runs at a checkpoint and waits for them") {
  const SweepFolder folder;
  folder.write("suite.toml",
               with(small_suite(), "[\"model.norm=layernorm\"]", "[\"model.norm=layernorm\", \"run.steps=100000\"]"));
  const pid_t process =
      folder.start({"--jobs", "2", "--threads", "2", "--only", "small/*/seed1"}, {{"FAKE_TRAIN_STEP_MS", "20"}});
  folder.wait_for_log("small/layernorm/seed1");
  fs::create_directories(folder / "out/sweep.json.tmp");  // where the new summary would be written
  const ProgramResult result = folder.wait(process);
  CHECK(result.code == 1);
  CHECK(contains(result.error, "error: ["));
  CHECK(std::ranges::count(result.error, '\n') == 2);  // the finished baseline, and the error
  const std::string stopped = folder.read("out/small/layernorm/seed1/manifest.json");
  CHECK(contains(stopped, "\"interrupted\""));
  CHECK(fs::exists(folder / "out/small/layernorm/seed1/checkpoints"));

  fs::remove(folder / "out/sweep.json.tmp");
  CHECK(folder.sweep({"--only", "small/baseline/*"}).code == 0);
}

TEST_CASE("a summary that had to wait for another sweep's tells what that one has finished meanwhile") {
  for (const bool stopped : {false, true}) {  // a sweep that is told to stop writes its summary all the same
    CAPTURE(stopped);
    const SweepFolder folder, other;  // the other one's run is put into the first as another sweep would make it there
    CHECK(other.sweep({"--only", "small/layernorm/seed1"}).code == 0);
    const pid_t process = folder.start({"--only", "small/baseline/seed1"}, {{"FAKE_TRAIN_STEP_MS", "20"}});
    folder.wait_for_log("small/baseline/seed1");
    {
      const FolderLock lock(folder / "out");
      while (!contains(folder.read("out/small/baseline/seed1/manifest.json"), "\"finished\"")) ::usleep(10'000);
      if (stopped) ::kill(process, SIGTERM);
      ::usleep(300'000);
      fs::create_directories(folder / "out/small/layernorm");
      fs::copy(other / "out/small/layernorm/seed1", folder / "out/small/layernorm/seed1", fs::copy_options::recursive);
    }
    const ProgramResult result = folder.wait(process);
    CAPTURE(result.error);
    CHECK(!contains(result.error, "error:"));
    const auto runs = nlohmann::json::parse(folder.read("out/sweep.json"))["runs"];
    CHECK(runs[0]["state"] == "finished");
    CHECK(runs[1]["folder"] == "small/layernorm/seed1");
    CHECK(runs[1]["state"] == "finished");
  }
}

TEST_CASE("killed with its runs at random moments, a sweep goes on to the records of the undisturbed one") {
  std::string suite =
      "learning_rates = [1e-2, 1e-3]\n" + with(small_suite(), "eval_every = 0", "eval_every = 0\ncheckpoint_every = 3");
  const auto large = suite.find("[[scale]]\nname = \"large\"");
  suite.erase(large, suite.find("[[variant]]") - large);
  const SweepFolder whole, killed;
  whole.write("suite.toml", suite);
  killed.write("suite.toml", suite);
  CHECK(whole.sweep({"--jobs", "2", "--threads", "2"}).code == 0);

  Philox random(7);
  int kills = 0;
  for (;;) {
    const pid_t process = killed.start({"--jobs", "2", "--threads", "2"}, {{"FAKE_TRAIN_STEP_MS", "2"}});
    if (kills < 8) {
      ::usleep(static_cast<unsigned>(random.below(150'000)));
      kill_all(process);
      ++kills;
    }
    const ProgramResult result = killed.wait(process);
    if (result.code == 128 + SIGKILL) continue;
    CAPTURE(result.error);
    REQUIRE(result.code == 0);
    break;
  }
  CHECK(records(killed) == records(whole));
}

TEST_CASE("a signal that a parent passes on late does not end a program at once, a second one of a person does") {
  for (const bool passed_on : {true, false}) {
    CAPTURE(passed_on);
    const SweepFolder folder;
    const pid_t process = folder.start({"--only", "small/baseline/seed1"}, {{"FAKE_TRAIN_STEP_MS", "2000"}});
    while (folder.read("out/small/baseline/seed1/starts.txt").empty()) ::usleep(10'000);
    ::kill(process, SIGTERM);
    ::usleep(1'200'000);  // the run is in its first step
    passed_on ? ::sigqueue(process, SIGTERM, {}) : ::kill(process, SIGTERM);
    CHECK(folder.wait(process).code == (passed_on ? 130 : 128 + SIGTERM));
    // The run of a sweep that has died leaves, too, after its step.
    while (!contains(folder.read("out/small/baseline/seed1/manifest.json"), "\"interrupted\"")) ::usleep(10'000);
  }
}

TEST_CASE("runs share the threads, and never take more together") {
  struct Case {
    std::vector<std::string> arguments;
    std::string threads, share;  // the job's processors by Slurm; what each run gets
    bool warned;
  };
  const Case cases[] = {
      {{"--threads", "6", "--jobs", "2"}, "", "3\n", false},
      {{"--threads", "7", "--jobs", "3"}, "", "2\n", false},
      {{"--threads", "6"}, "", "6\n", false},
      {{"--threads", "2", "--jobs", "5"}, "", "1\n", true},
      {{}, "1", "1\n", false},
      {{"--jobs", "2"}, "1", "1\n", true},
  };
  for (const Case& c : cases) {
    const SweepFolder folder;
    std::vector<std::string> arguments = c.arguments;
    arguments.insert(arguments.end(), {"--only", "small/*/seed1"});
    std::map<std::string, std::string> environment{{"FAKE_TRAIN_STEP_MS", "2"}};
    if (!c.threads.empty()) environment["SLURM_CPUS_PER_TASK"] = c.threads;
    const ProgramResult result = folder.sweep(arguments, environment);
    CAPTURE(result.error);
    CHECK(result.code == 0);
    CHECK(contains(result.error, "warning: --jobs") == c.warned);
    for (const char* run : {"baseline/seed1", "layernorm/seed1"}) {
      CHECK(folder.read("out/small/" + std::string(run) + "/threads.txt") == c.share);
    }
  }
}

TEST_CASE("no more runs at a time than threads") {
  const SweepFolder folder;
  const pid_t process = folder.start({"--jobs", "12", "--threads", "2"}, {{"FAKE_TRAIN_STEP_MS", "50"}});
  folder.wait_for_log("small/baseline/seed1");
  folder.wait_for_log("small/layernorm/seed1");
  const std::string self = std::to_string(process);
  std::istringstream children(read_file("/proc/" + self + "/task/" + self + "/children"));
  int count = 0;
  for (pid_t child = 0; children >> child;) ++count;
  CHECK(count <= 2);
  ::kill(process, SIGTERM);
  CHECK(folder.wait(process).code == 130);
}

}  // namespace isoloss
