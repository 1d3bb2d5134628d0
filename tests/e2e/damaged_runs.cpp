// Runs whose weights went bad, and runs that were killed before there was anything to go on from.
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/base/file.h"
#include "kernels/base/file_lock.h"
#include "tests/e2e/fixture.h"

using namespace isoloss;
using namespace isoloss::test;
namespace fs = std::filesystem;

namespace {

/// The float32 numbers of a safetensors file begin after its header, whose length is its first eight bytes.
std::size_t first_number(const std::string& file) {
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  return static_cast<std::size_t>(8 + header);
}

/// Puts NaN into the first element of a tensor.
void poison(const fs::path& path, const std::string& tensor) {
  std::string file = read_file(path);
  const std::size_t start = first_number(file);
  const auto header = nlohmann::json::parse(file.substr(8, start - 8));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(file.data() + start + header.at(tensor).at("data_offsets")[0].get<std::size_t>(), &nan, sizeof nan);
  put_file(path, file);
}

}  // namespace

TEST_CASE("evaluate names the parameter that is not finite") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("run", {"--set", "run.steps=2", "--quiet"})).exit_code == 0);
  const fs::path weights = workspace.path("nan.safetensors");
  fs::copy_file(workspace.path("run/model.safetensors"), weights);
  poison(weights, "transformer.ln_f.weight");
  put_file(workspace.path("config.toml"),
           "extends = \"nano\"\n[model]\nlayers = 2\nwidth = 32\nheads = 2\ncontext = 32\n");
  for (const bool json : {false, true}) {
    std::vector<std::string> command{program("evaluate"),
                                     "--weights",
                                     weights.string(),
                                     "--config",
                                     workspace.path("config.toml"),
                                     "--data",
                                     workspace.tokens() + "/val_*.bin"};
    if (json) command.push_back("--json");
    const ProcessResult result = run(command);
    CHECK(result.exit_code == 1);
    CHECK(result.out.empty());
    CHECK_MESSAGE(result.err.find("transformer.ln_f.weight") != std::string::npos, result.err);
  }
  // In the place of a run's own weights the file is not what the run has written, whatever is in it.
  fs::remove(workspace.path("run/model.safetensors"));
  fs::rename(weights, workspace.path("run/model.safetensors"));
  for (const char* name : {"generate", "evaluate"}) {
    const ProcessResult result = run({program(name), "--run", workspace.path("run")});
    CHECK(result.exit_code == 2);
    CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
    CHECK_MESSAGE(result.err.find("model.safetensors] expected the checksum ") != std::string::npos, result.err);
  }
}

TEST_CASE("a finished run is only called so with its weights and its record as they were") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("run", {"--quiet"})).exit_code == 0);
  const auto resumed = [&] { return run(workspace.train("run", {"--resume"})); };
  CHECK(resumed().exit_code == 0);
  for (const char* name : {"log.jsonl", "eval.jsonl", "model.safetensors"}) {
    const fs::path file = workspace.path("run/" + std::string(name));
    const std::string whole = read_file(file);
    put_file(file, whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1));
    const ProcessResult result = resumed();
    CHECK(result.exit_code == 2);
    CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
    CHECK_MESSAGE(result.err.find(file.string() + "] expected ") != std::string::npos, result.err);
    put_file(file, whole);
  }
  std::string lines = read_file(workspace.path("run/eval.jsonl"));
  char& digit = lines[lines.rfind("\"val_loss\":") + 13];
  digit = digit == '9' ? '8' : '9';
  put_file(workspace.path("run/eval.jsonl"), lines);
  const ProcessResult curves = run({program("ceg"), workspace.path("run"), "--baseline", "run"});
  CHECK(curves.exit_code == 2);
  CHECK_MESSAGE(curves.err.find("eval.jsonl] expected the checksum ") != std::string::npos, curves.err);
}

TEST_CASE("a sweep takes no run for finished whose record has changed") {
  const Workspace workspace;
  workspace.write_suite(10);
  REQUIRE(run(workspace.sweep("out")).exit_code == 0);
  REQUIRE(run(workspace.sweep("out")).exit_code == 0);
  const fs::path log = workspace.path("out/a/rope/seed2/log.jsonl");
  put_file(log, read_file(log) + "\n");
  const ProcessResult result = run(workspace.sweep("out"));
  CHECK(result.exit_code == 2);
  CHECK_MESSAGE(result.err.find(log.string() + "] expected ") != std::string::npos, result.err);
}

TEST_CASE("a run that was killed before its first checkpoint starts anew, with --resume and without") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("whole", {"--quiet"})).exit_code == 0);
  for (const bool resume : {false, true}) {
    CAPTURE(resume);
    const std::string name = resume ? "resumed" : "repeated";
    const fs::path folder = workspace.path(name);
    // What such a kill leaves: the record of some steps, and half a checkpoint.
    REQUIRE(run(workspace.train(name, {"--quiet"})).exit_code == 0);
    fs::remove(folder / "model.safetensors");
    fs::remove_all(folder / "checkpoints");
    fs::create_directories(folder / "checkpoints/step_00000004.tmp");
    std::string manifest = read_file(folder / "manifest.json");
    const std::size_t status = manifest.find("\"finished\"");
    REQUIRE(status != std::string::npos);
    put_file(folder / "manifest.json", manifest.replace(status, 10, "\"running\""));
    put_file(folder / "notes.txt", "mine");

    const ProcessResult other = run(workspace.train(name, {"--quiet", "--set", "run.seed=5"}));
    CHECK(other.exit_code == 2);  // of another configuration: not this run

    const ProcessResult result =
        run(workspace.train(name, resume ? std::vector<std::string>{"--resume"} : std::vector<std::string>{}));
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    CHECK_MESSAGE(result.err.find("starts anew") != std::string::npos, result.err);
    CHECK(read_file(folder / "model.safetensors") == read_file(workspace.path("whole/model.safetensors")));
    CHECK(read_file(folder / "notes.txt") == "mine");
    CHECK(run(workspace.train(name, {"--quiet"})).exit_code == 2);  // finished: nothing is written over
  }
}

TEST_CASE("a run stopped before its first checkpoint starts anew only from the weights that it was started from") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("first", {"--quiet"})).exit_code == 0);
  const std::vector<std::string> tuned = {"--quiet", "--init-from", workspace.path("first/model.safetensors")};
  REQUIRE(run(workspace.train("tuned", tuned)).exit_code == 0);
  const std::string weights = read_file(workspace.path("tuned/model.safetensors"));
  const fs::path folder = workspace.path("tuned");
  fs::remove(folder / "model.safetensors");
  fs::remove_all(folder / "checkpoints");
  std::string manifest = read_file(folder / "manifest.json");
  put_file(folder / "manifest.json", manifest.replace(manifest.find("\"finished\""), 10, "\"running\""));
  const auto refused = [&](const char* option, const char* why) {
    const ProcessResult result = run(workspace.train("tuned", {option}));
    CHECK(result.exit_code == 2);
    CHECK_MESSAGE(result.err.find(why) != std::string::npos, result.err);
  };
  refused("--resume", "start again with --init-from model.safetensors, without --resume");
  refused("--quiet", "expected the --init-from of the run that was stopped here");
  CHECK(run(workspace.train("tuned", tuned)).exit_code == 0);
  CHECK(read_file(folder / "model.safetensors") == weights);
}

TEST_CASE("a second train on a folder in use is turned away with the holder's name, and touches nothing") {
  const Workspace workspace;
  const std::vector<std::string> unfinished = {"--quiet", "--set", "run.steps=100000"};
  ProcessOptions options;
  options.signal = SIGTERM;
  options.signal_when = [&] { return fs::exists(workspace.path("run/checkpoints/step_00000004")); };
  REQUIRE(run(workspace.train("run", unfinished), options).exit_code == 130);
  const fs::path folder = workspace.path("run");
  const std::string log = read_file(folder / "log.jsonl"), manifest = read_file(folder / "manifest.json");
  {
    const FolderLock held(folder);
    for (const bool resume : {false, true}) {
      std::vector<std::string> arguments = unfinished;
      if (resume) arguments.emplace_back("--resume");
      const ProcessResult second = run(workspace.train("run", arguments));
      CHECK(second.exit_code == 1);
      CHECK_MESSAGE(ends_with_one_error(second.err), second.err);
      const std::string holder = "got one in which process " + std::to_string(::getpid()) + " on ";
      CHECK_MESSAGE(second.err.find(holder) != std::string::npos, second.err);
    }
  }
  CHECK(read_file(folder / "log.jsonl") == log);
  CHECK(read_file(folder / "manifest.json") == manifest);
  CHECK(run(workspace.train("run", unfinished)).exit_code == 2);  // nobody holds it any more: it holds a run
}
