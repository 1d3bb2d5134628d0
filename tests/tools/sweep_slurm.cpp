// `sweep --slurm`: the script is run by bash here, as Slurm runs it, with a scontrol that writes down how it is called.
// tests/e2e/slurm.cpp submits it to a real Slurm where there is one.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/base/file.h"
#include "tests/tools/sweep_fixture.h"

namespace isoloss {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

ProgramResult write_script(const SweepFolder& folder, std::vector<std::string> arguments = {}) {
  arguments.insert(arguments.end(), {"--threads", "1", "--slurm", (folder / "job.sh").string()});
  return folder.sweep(arguments);
}

/// The elements of the array: the globs of each.
std::vector<std::string> elements(const SweepFolder& folder) {
  std::istringstream script(folder.read("job.sh"));
  std::vector<std::string> all;
  std::string line;
  while (std::getline(script, line) && line != "runs=(") continue;
  while (std::getline(script, line) && line != ")") {
    const auto first = line.find_first_not_of(" '");
    all.push_back(line.substr(first, line.find_last_not_of('\'') + 1 - first));
  }
  return all;
}

/// Starts one element of the array.
pid_t start_element(const SweepFolder& folder, std::size_t index, const std::string& step_milliseconds = "0",
                    const std::string& processors = "1") {
  folder.write("bin/scontrol", "#!/bin/sh\necho \"$@\" >> " + (folder / "scontrol.txt").string() + "\n");
  ::chmod((folder / "bin/scontrol").c_str(), 0755);
  return folder.launch({"/bin/bash", (folder / "job.sh").string()},
                       {{"SLURM_ARRAY_JOB_ID", "7"},
                        {"SLURM_JOB_ID", "12"},
                        {"SLURM_ARRAY_TASK_ID", std::to_string(index)},
                        {"SLURM_CPUS_PER_TASK", processors},
                        {"FAKE_TRAIN_STEP_MS", step_milliseconds},
                        {"PATH", (folder / "bin").string() + ":/usr/bin:/bin"}});
}

/// Every file and folder with its time and content.
std::map<std::string, std::string> all_there_is(const SweepFolder& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "out")) {
    const auto written = entry.last_write_time().time_since_epoch().count();
    found[entry.path()] = std::to_string(written) + (entry.is_regular_file() ? read_file(entry.path()) : "");
  }
  return found;
}

void expect_all_finished(const SweepFolder& folder) {
  const json record = json::parse(folder.read("out/sweep.json"));
  for (const json& run : record["runs"]) {
    CAPTURE(run.dump());
    CHECK(run["state"] == "finished");
    CHECK(run["val_loss"].is_number());
    CHECK(fs::exists(folder / ("out/" + run["folder"].get<std::string>() + "/manifest.json")));
  }
}

std::string tuned_suite_for_slurm() { return "learning_rates = [1e-2, 1e-3, 5.0]\n" + small_suite(); }

}  // namespace

TEST_CASE("the script asks Slurm for what a run needs") {
  const SweepFolder folder;
  CHECK(write_script(folder).code == 0);
  std::string script = folder.read("job.sh");
  CHECK(contains(script, "\n#SBATCH --array=0-11\n"));
  CHECK(contains(script, "\n#SBATCH --ntasks=1\n"));
  CHECK(contains(script, "\n#SBATCH --cpus-per-task=1\n"));
  CHECK(contains(script, "\n#SBATCH --requeue\n"));
  CHECK(contains(script, "\n#SBATCH --open-mode=append\n"));
  CHECK(!contains(script, "gpu"));
  CHECK(!contains(script, "--any-tokenizer"));
  // --set data.train=data/… means the folder in which this was typed.
  CHECK(contains(script, "\ncd " + fs::current_path().string() + " || exit\n"));
  CHECK(elements(folder).front() == "small/baseline/seed1");

  CHECK(write_script(folder, {"--device", "cuda"}).code == 0);
  script = folder.read("job.sh");
  CHECK(contains(script, "\n#SBATCH --ntasks=1\n"));  // without which the next line is refused
  CHECK(contains(script, "\n#SBATCH --gpus-per-task=1\n"));
  CHECK(!fs::exists(folder / "out"));

  CHECK(write_script(folder, {"--any-tokenizer", "--set", "run.log_every=2"}).code == 0);
  CHECK(folder.wait(start_element(folder, 1)).code == 0);
  CHECK(folder.read("out/small/layernorm/seed1/any_tokenizer.txt") == "yes\n");
}

TEST_CASE("every element of the array run at once makes the sweep, and sweep.json tells of all of it") {
  for (const bool tunes : {false, true}) {
    CAPTURE(tunes);
    const SweepFolder folder;
    folder.write("suite.toml", tunes ? tuned_suite_for_slurm() : small_suite());
    CHECK(write_script(folder).code == 0);
    const std::size_t count = elements(folder).size();
    CHECK(count == (tunes ? 6 : 12));
    std::vector<pid_t> processes;
    for (std::size_t i = 0; i < count; ++i) processes.push_back(start_element(folder, i));
    for (const pid_t process : processes) CHECK(folder.wait(process).code == 0);
    expect_all_finished(folder);
    for (const json& search : json::parse(folder.read("out/sweep.json"))["learning_rate_searches"]) {
      CHECK(search["best"] == 1e-3);
      CHECK(search["candidates"][2]["state"] == "diverged");
    }
    CHECK(write_script(folder).code == 0);  // nothing is left, the script of before stays
    CHECK(elements(folder).size() == count);
  }
}

TEST_CASE("a failed run of one element stays failed in what the next element writes") {
  const SweepFolder folder;
  CHECK(folder.sweep({"--only", "small/layernorm/seed2"}, {{"FAKE_TRAIN_FAIL", "layernorm"}}).code == 1);
  CHECK(folder.sweep({"--only", "small/baseline/seed1"}).code == 0);
  const json record = json::parse(folder.read("out/sweep.json"));
  CHECK(record["runs"][4]["state"] == "failed");
  CHECK(contains(record["runs"][4]["error"].get<std::string>(), "a failure on purpose"));
  CHECK(record["runs"][1]["state"] == "left out");
}

TEST_CASE("--dry-run and --slurm leave what lies on disk as it is") {
  const SweepFolder folder;
  folder.write("suite.toml", tuned_suite_for_slurm());
  CHECK(folder.sweep({"--only", "small/baseline/seed1"}).code == 0);
  // As when the sweep was killed between the end of its search and the move of the best run.
  fs::rename(folder / "out/small/baseline/seed1", folder / "out/tuning/small/baseline-lr0.001");
  const auto before = all_there_is(folder);
  CHECK(write_script(folder).code == 0);
  CHECK(all_there_is(folder) == before);
  CHECK(!contains(folder.read("job.sh"), "small/baseline/seed1"));
  const ProgramResult plan = folder.sweep({"--dry-run"});
  CAPTURE(plan.out);
  CHECK(contains(plan.out, "24 runs, 3 finished"));
  CHECK(all_there_is(folder) == before);
  const ProgramResult both = folder.sweep({"--dry-run", "--slurm", (folder / "other.sh").string()});
  CHECK(both.code == 2);
  CHECK(!fs::exists(folder / "other.sh"));

  CHECK(folder.sweep({"--only", "small/baseline/seed2"}).code == 0);
  CHECK(folder.read("out/small/baseline/seed1/starts.txt") == "started\n");  // moved, and not made again
}

TEST_CASE("the array makes the runs of --only and no others") {
  const SweepFolder folder;
  folder.write("suite.toml", with(tuned_suite_for_slurm(), "[1, 2]", "[1, 2, 3]"));
  CHECK(write_script(folder, {"--only", "small/layernorm/seed[23]"}).code == 0);
  CHECK(elements(folder) == std::vector<std::string>{"small/layernorm/seed2 small/layernorm/seed3"});
  CHECK(write_script(folder, {"--only", "small/layernorm/seed2"}).code == 0);
  CHECK(elements(folder) == std::vector<std::string>{"small/layernorm/seed2"});
  CHECK(folder.wait(start_element(folder, 0)).code == 0);
  CHECK(fs::exists(folder / "out/small/layernorm/seed2"));
  CHECK(!fs::exists(folder / "out/small/layernorm/seed3"));
  CHECK(write_script(folder, {"--only", "small/baseline/*"}).code == 0);
  CHECK(elements(folder) == std::vector<std::string>{"small/baseline/*"});
}

TEST_CASE("an array of more runs than Slurm takes indices gives some elements several") {
  const SweepFolder folder;
  std::string seeds = "1";
  for (int seed = 2; seed <= 700; ++seed) seeds += ", " + std::to_string(seed);
  std::string suite = with(small_suite(), "1, 2", seeds);
  const auto large = suite.find("[[scale]]\nname = \"large\""), variant = suite.find("[[variant]]");
  folder.write("suite.toml", suite.erase(large, variant - large));
  CHECK(write_script(folder).code == 0);
  CHECK(contains(folder.read("job.sh"), "\n#SBATCH --array=0-999\n"));
  const std::vector<std::string> all = elements(folder);
  CHECK(all.size() == 1000);
  std::map<std::string, int> runs;
  for (const std::string& element : all) {
    std::istringstream words(element);
    for (std::string run; words >> run;) ++runs[run];
  }
  CHECK(runs.size() == 2100);
  CHECK(std::ranges::all_of(runs, [](const auto& run) { return run.second == 1; }));
  CHECK(std::ranges::count(all[99], ' ') == 2);
  CHECK(std::ranges::count(all[100], ' ') == 1);
  CHECK(folder.wait(start_element(folder, 99)).code == 0);
  CHECK(fs::exists(folder / "out/small/baseline/seed34/model.safetensors") == false);
  for (const char* run : {"small/baseline/seed34", "small/layernorm/seed367", "small/baseline-A-A/seed1700"}) {
    CAPTURE(run);
    CHECK(contains(folder.read("out/" + std::string(run) + "/manifest.json"), "\"finished\""));
  }
}

TEST_CASE(
    "a task whose time is nearly up stops at a checkpoint and goes back into the queue, a cancelled one does not") {
  const SweepFolder folder;
  CHECK(write_script(folder, {"--only", "small/*/seed1"}).code == 0);
  pid_t process = start_element(folder, 0, "50");
  folder.wait_for_log("small/baseline/seed1");
  ::kill(process, SIGUSR1);  // to the shell alone
  CHECK(folder.wait(process).code == 0);
  CHECK(folder.read("scontrol.txt") == "requeue 7_0\n");
  CHECK(contains(folder.read("out/small/baseline/seed1/manifest.json"), "\"interrupted\""));

  process = start_element(folder, 1, "50");
  folder.wait_for_log("small/layernorm/seed1");
  ::kill(-process, SIGTERM);  // to the shell and the sweep
  CHECK(folder.wait(process).code == 130);
  CHECK(folder.read("scontrol.txt") == "requeue 7_0\n");
  CHECK(contains(folder.read("out/small/layernorm/seed1/manifest.json"), "\"interrupted\""));

  CHECK(folder.wait(start_element(folder, 0)).code == 0);
  CHECK(folder.read("out/small/baseline/seed1/starts.txt") == "started\nresumed\n");
  CHECK(contains(folder.read("out/small/baseline/seed1/manifest.json"), "\"finished\""));
}

TEST_CASE("a task takes the threads that Slurm gives it, also when they are others than were asked for") {
  const SweepFolder folder;
  CHECK(write_script(folder, {"--only", "small/*/seed1"}).code == 0);
  CHECK(folder.wait(start_element(folder, 0, "0", "3")).code == 0);
  CHECK(folder.read("out/small/baseline/seed1/threads.txt") == "3\n");
  CHECK(folder.wait(start_element(folder, 1, "0", "")).code == 0);  // with no word from Slurm: those asked for
  CHECK(folder.read("out/small/layernorm/seed1/threads.txt") == "1\n");
}

TEST_CASE("a task that fails when its time is up does not go back into the queue, where it would fail for ever") {
  const SweepFolder folder;
  CHECK(write_script(folder, {"--only", "small/baseline/seed1"}).code == 0);
  folder.write("bin/failing", "#!/bin/bash\ntrap 'exit 1' TERM\ntouch " + (folder / "begun").string() +
                                  "\nwhile :; do sleep 0.05; done\n");
  ::chmod((folder / "bin/failing").c_str(), 0755);
  const std::string script = folder.read("job.sh");
  const std::size_t command = script.find("/sweep ");
  REQUIRE(command != std::string::npos);
  const std::size_t line = script.rfind('\n', command) + 1;
  folder.write("job.sh", script.substr(0, line) + (folder / "bin/failing").string() + script.substr(command + 6));
  const pid_t process = start_element(folder, 0);
  while (!fs::exists(folder / "begun")) ::usleep(10'000);
  ::kill(process, SIGUSR1);
  CHECK(folder.wait(process).code == 1);
  CHECK(!fs::exists(folder / "scontrol.txt"));
}

TEST_CASE("data that are not there show when the script is made") {
  const SweepFolder folder;
  fs::remove(folder / "data/val.bin");
  const ProgramResult missing = write_script(folder);
  CHECK(missing.code == 2);
  CHECK(contains(missing.error, "val.bin"));
  CHECK(!fs::exists(folder / "job.sh"));
}

}  // namespace isoloss
