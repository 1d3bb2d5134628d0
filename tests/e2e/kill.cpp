// Accidents: SIGKILL at random moments, polite signals, a full disk, torn checkpoints.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <thread>

#include "kernels/base/file.h"
#include "kernels/base/philox.h"
#include "tests/e2e/fixture.h"

using namespace isoloss;
using namespace isoloss::test;
using namespace std::string_literals;
namespace fs = std::filesystem;

namespace {
/// A record without what time decides: lines up to `"seconds"`, and from the loss on.
std::string timeless(const std::string& record) {
  std::string out;
  std::istringstream in(record);
  for (std::string line; std::getline(in, line);) {
    for (const char* key : {"\"seconds\":", "\"tokens_per_second\":"}) {
      const auto at = line.find(key);
      if (at == std::string::npos) continue;
      const auto end = line.find_first_of(",}", at);
      line.erase(at, end - at);
    }
    out += line + "\n";
  }
  return out;
}

void check_same_run(const std::string& a, const std::string& b) {
  CHECK(read_file(a + "/model.safetensors") == read_file(b + "/model.safetensors"));
  CHECK(timeless(read_file(a + "/log.jsonl")) == timeless(read_file(b + "/log.jsonl")));
  CHECK(timeless(read_file(a + "/eval.jsonl")) == timeless(read_file(b + "/eval.jsonl")));
}

std::size_t lines_of_log(const std::string& folder) {
  if (!fs::exists(folder + "/log.jsonl")) return 0;
  const std::string log = read_file(folder + "/log.jsonl");
  return static_cast<std::size_t>(std::count(log.begin(), log.end(), '\n'));
}

std::size_t checkpoints_in(const std::string& folder) {
  std::size_t count = 0;
  std::error_code none_yet;
  for (const auto& entry : fs::directory_iterator(folder + "/checkpoints", none_yet)) {
    count += entry.path().extension() != ".tmp" ? 1 : 0;
  }
  return count;
}
bool has_checkpoint(const std::string& folder) { return checkpoints_in(folder) > 0; }

/// `signal`, as soon as the run in `folder` has logged `steps` more steps: at no time of the clock, since a machine
/// that does other work may take long to start a program.
ProcessOptions signal_after_steps(int signal, const std::string& folder, std::size_t steps) {
  ProcessOptions options;
  options.signal = signal;
  options.signal_when = [folder, wanted = lines_of_log(folder) + steps] { return lines_of_log(folder) >= wanted; };
  return options;
}

/// A finished run as a kill just before its end would have left it.
void pretend_unfinished(const std::string& folder) {
  std::string manifest = read_file(folder + "/manifest.json");
  manifest.replace(manifest.find("\"finished\""), 10, "\"running\"");
  write_file_atomically(folder + "/manifest.json", manifest);
  fs::remove(folder + "/model.safetensors");
}
}  // namespace

TEST_CASE("killed at random moments and resumed, a run ends with the bits of the undisturbed one") {
  const Workspace workspace;
  const std::vector<std::string> more{"--set", "run.steps=120"};
  REQUIRE(run(workspace.train("whole", more)).exit_code == 0);
  Philox random(20);
  int kills = 0;
  bool started = false;
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::vector<std::string> arguments = more;
    if (started && !has_checkpoint(workspace.path("killed"))) fs::remove_all(workspace.path("killed")), started = false;
    if (started) arguments.push_back("--resume");
    ProcessOptions options;
    options.signal = SIGKILL;
    // Any moment from the first steps after the resume on: in a step, an evaluation, a checkpoint, a rename.
    const std::size_t lines = lines_of_log(workspace.path("killed")) + 2 + random.below(12);
    const auto pause = std::chrono::microseconds(random.below(3000));
    options.signal_when = [&, lines, pause] {
      if (lines_of_log(workspace.path("killed")) < lines) return false;
      std::this_thread::sleep_for(pause);
      return true;
    };
    const ProcessResult result = run(workspace.train("killed", arguments), options);
    started = fs::exists(workspace.path("killed"));
    if (result.signal == SIGKILL) {
      ++kills;
      continue;
    }
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
    break;
  }
  CHECK(kills >= 5);
  check_same_run(workspace.path("whole"), workspace.path("killed"));
}

TEST_CASE(
    "killed with its runs at random moments, a sweep goes on by the same command to the bits of the undisturbed") {
  const Workspace workspace;
  workspace.write_suite(60);
  REQUIRE(run(workspace.sweep("whole")).exit_code == 0);
  const auto children_of = [](const std::string& process) {
    std::istringstream words(read_file("/proc/" + process + "/task/" + process + "/children"));
    return std::vector<std::string>(std::istream_iterator<std::string>(words), {});
  };
  Philox random(5);
  int kills = 0;
  for (int attempt = 0; attempt < 100; ++attempt) {
    ProcessOptions options;
    options.signal = SIGKILL;  // to the sweep
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20000 + random.below(200000));
    options.signal_when = [&, end] {
      if (kills >= 6 || std::chrono::steady_clock::now() < end) return false;
      for (const std::string& sweep : children_of(std::to_string(::getpid()))) {
        for (const std::string& train : children_of(sweep)) ::kill(std::stoi(train), SIGKILL);
      }
      return true;
    };
    const ProcessResult result = run(workspace.sweep("killed"), options);
    if (result.signal != SIGKILL) {
      REQUIRE_MESSAGE(result.exit_code == 0, result.err);
      break;
    }
    ++kills;
  }
  CHECK(kills >= 4);
  int runs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(workspace.path("whole"))) {
    if (entry.path().filename() != "manifest.json") continue;
    const fs::path folder = entry.path().parent_path();
    check_same_run(folder, workspace.path("killed") / folder.lexically_relative(workspace.path("whole")));
    ++runs;
  }
  CHECK(runs == 6);
}

TEST_CASE("SIGINT and SIGTERM: the step is finished, the newest checkpoint is of the last logged step, exit 130") {
  const Workspace workspace;
  for (const int signal : {SIGINT, SIGTERM}) {
    CAPTURE(signal);
    const std::string name = "signalled" + std::to_string(signal);
    const ProcessResult result =
        run(workspace.train(name, {"--set", "run.steps=100000", "--set", "run.checkpoint_every=0"}),
            signal_after_steps(signal, workspace.path(name), 20));
    CHECK_MESSAGE(result.exit_code == 130, result.err);
    const std::string log = read_file(workspace.path(name) + "/log.jsonl");
    CHECK(log.ends_with("}\n"));
    const std::string last = log.substr(log.rfind('{'));
    const auto at = last.find("\"step\":");
    REQUIRE(at != std::string::npos);
    const std::string step = std::to_string(std::stoll(last.substr(at + 7)));
    const std::string folder = "step_" + std::string(8 - step.size(), '0') + step;
    CHECK_MESSAGE(fs::exists(workspace.path(name) + "/checkpoints/" + folder + "/state.json"), folder);
  }
}

TEST_CASE("a signal that comes twice within a second is one: what a scheduler and a parent send") {
  const Workspace workspace;
  const std::string log = workspace.path("twice") + "/log.jsonl";
  std::vector<std::string> command =
      workspace.train("twice", {"--set", "run.steps=100000000", "--set", "run.checkpoint_every=0"});
  // The shell waits for the run's third line; then it sends what Slurm and a parent that passes signals on would send.
  const std::string script = "\"$@\" & while [ \"$(wc -l < '" + log +
                             "' 2>/dev/null || echo 0)\" -lt 3 ]; do sleep 0.05; done;" +
                             " kill -TERM $!; sleep 0.01; kill -INT $!; wait $!";
  command.insert(command.begin(), {"/bin/sh", "-c", script, "sh"});
  const ProcessResult result = run(command);
  CHECK_MESSAGE(result.exit_code == 130, result.err);
  CHECK(result.err.find("interrupted after step") != std::string::npos);
  CHECK(has_checkpoint(workspace.path("twice")));
}

TEST_CASE("a shard that becomes shorter in mid-run is one line that names it, and exit 1") {
  const Workspace workspace;
  const std::string shard = workspace.path("tokens/train_000000.bin");
  ProcessOptions options;
  options.signal_when = [&] {
    if (lines_of_log(workspace.path("run")) < 3) return false;
    fs::resize_file(shard, 2000);
    return true;
  };
  options.signal = SIGCONT;  // does nothing
  const ProcessResult result = run(workspace.train("run", {"--set", "run.steps=100000000"}), options);
  CHECK(result.exit_code == 1);
  CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
  CHECK(result.err.find("error: [" + shard + "]") != std::string::npos);
}

TEST_CASE("a run that goes on on another device says that its bits will differ, on the same one it says nothing") {
  const Workspace workspace;
  const std::vector<std::string> long_run = {"--set", "run.steps=100000", "--set", "run.checkpoint_every=0"};
  const auto interrupted = [&](std::vector<std::string> more) {
    more.insert(more.end(), long_run.begin(), long_run.end());
    const ProcessResult result =
        run(workspace.train("moved", more), signal_after_steps(SIGINT, workspace.path("moved"), 5));
    CHECK_MESSAGE(result.exit_code == 130, result.err);
    return result.err;
  };
  const std::string complaint = "started on cpu, goes on on ref";
  CHECK(interrupted({"--device", "cpu"}).find("started on") == std::string::npos);
  CHECK(interrupted({"--device", "cpu", "--resume"}).find("started on") == std::string::npos);
  CHECK(interrupted({"--device", "ref", "--resume"}).find(complaint) != std::string::npos);
}

TEST_CASE("a signal ends at once what only waits for its input") {
  const Workspace workspace;
  const std::string pipe = workspace.path("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int ours = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
  ProcessOptions interrupt;
  interrupt.signal = SIGINT;
  interrupt.signal_when = [&] {  // what was in the pipe has been read
    int left = 0;
    return ::ioctl(ours, FIONREAD, &left) == 0 && left == 0;
  };
  // Opened for reading and writing, so that it never ends.
  for (const std::string command : {"tokenize --tokenizer bytes --ids <>", "tokenize --tokenizer bytes --decode <>",
                                    "ceg /dev/stdin --baseline b <>"}) {
    CAPTURE(command);
    REQUIRE(::write(ours, "1\n", 2) == 2);
    const ProcessResult result = run({"/bin/sh", "-c", "exec " + program("") + command + pipe}, interrupt);
    CHECK(result.exit_code == 130);
  }
  ::close(ours);
}

TEST_CASE("a full disk is one line and exit 1; what was there stays, and the run goes on when there is room") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("whole")).exit_code == 0);
  // Room for the records but not for the optimizer's file: the first checkpoint fails.
  ProcessOptions options;
  options.file_bytes = 200000;
  const ProcessResult full = run(workspace.train("full"), options);
  CHECK(full.exit_code == 1);
  CHECK_MESSAGE(ends_with_one_error(full.err), full.err);
  CHECK_FALSE(has_checkpoint(workspace.path("full")));

  // The same with a checkpoint before it.
  ProcessOptions interrupt;
  interrupt.signal = SIGINT;
  interrupt.signal_when = [&] { return has_checkpoint(workspace.path("later")); };
  const std::vector<std::string> long_run{"--set", "run.steps=2000"};
  REQUIRE(run(workspace.train("later", long_run), interrupt).exit_code == 130);
  const auto checkpoints = [&] {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(workspace.path("later") + "/checkpoints"))
      names.push_back(entry.path().filename());
    return names;
  };
  const auto before = checkpoints();
  REQUIRE_FALSE(before.empty());
  std::vector<std::string> resume = long_run;
  resume.push_back("--resume");
  const ProcessResult again = run(workspace.train("later", resume), options);
  CHECK(again.exit_code == 1);
  for (const std::string& name : before)
    CHECK(fs::exists(workspace.path("later") + "/checkpoints/" + name + "/state.json"));
}

TEST_CASE("a checkpoint cut short is passed over for the one before it") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("whole")).exit_code == 0);
  ProcessOptions interrupt;
  interrupt.signal = SIGKILL;
  interrupt.signal_when = [&] { return checkpoints_in(workspace.path("cut")) >= 3; };
  run(workspace.train("cut", {"--set", "run.steps=40"}), interrupt);
  if (fs::exists(workspace.path("cut") + "/model.safetensors")) {
    pretend_unfinished(workspace.path("cut"));  // this machine was quick
  }
  std::vector<fs::path> checkpoints;
  for (const auto& entry : fs::directory_iterator(workspace.path("cut") + "/checkpoints")) {
    if (entry.path().extension() != ".tmp") checkpoints.push_back(entry.path());
  }
  std::sort(checkpoints.begin(), checkpoints.end());
  REQUIRE(checkpoints.size() >= 2);
  fs::resize_file(checkpoints.back() / "model.safetensors",
                  fs::file_size(checkpoints.back() / "model.safetensors") - 7);
  const ProcessResult resumed = run(workspace.train("cut", {"--resume"}));
  REQUIRE_MESSAGE(resumed.exit_code == 0, resumed.err);
  CHECK(resumed.err.find("warning: ") != std::string::npos);
  CHECK(resumed.err.find(checkpoints.back().filename().string()) != std::string::npos);
  check_same_run(workspace.path("whole"), workspace.path("cut"));
}

TEST_CASE("a run killed just before it was finished goes on to say its validation loss") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("run")).exit_code == 0);
  pretend_unfinished(workspace.path("run"));
  const ProcessResult resumed = run(workspace.train("run", {"--resume"}));
  REQUIRE_MESSAGE(resumed.exit_code == 0, resumed.err);
  const std::string evaluations = read_file(workspace.path("run") + "/eval.jsonl");
  const auto at = evaluations.rfind("\"val_loss\":");
  REQUIRE(at != std::string::npos);
  const std::string loss = evaluations.substr(at + 11, 4);  // "4.87"; the message has two digits more
  CHECK_MESSAGE(resumed.err.find("40 steps, validation loss " + loss) != std::string::npos, resumed.err);
}

TEST_CASE("a run does not go on with other data under the same names") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("run")).exit_code == 0);
  pretend_unfinished(workspace.path("run"));
  for (const std::string split : {"train", "val"}) {
    const std::string shard = workspace.tokens() + "/" + split + "_000000.bin";
    const std::string before = read_file(shard);
    std::string changed = before;
    changed.replace(changed.size() - 2, 2, before.ends_with("a\0"s) ? "b\0"s : "a\0"s);
    write_file_atomically(shard, changed);
    const ProcessResult resumed = run(workspace.train("run", {"--resume"}));
    CHECK(resumed.exit_code == 2);
    CHECK_MESSAGE(ends_with_one_error(resumed.err), resumed.err);
    CHECK_MESSAGE(resumed.err.find("expected the data that the run was started with, got other data: data." + split +
                                   ", file 1 was " + split + "_000000.bin of SHA-256 ") != std::string::npos,
                  resumed.err);
    write_file_atomically(shard, before);
  }
  write_file_atomically(workspace.tokens() + "/tokenizer.json",
                        read_file(workspace.tokens() + "/tokenizer.json") + "\n");
  // The same tokenizer, written otherwise (another one: tokenizers.cpp).
  CHECK(run(workspace.train("run", {"--resume"})).exit_code == 0);
}
