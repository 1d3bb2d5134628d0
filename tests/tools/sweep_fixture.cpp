#include "tests/tools/sweep_fixture.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <utility>

#include "kernels/base/file.h"

namespace isoloss {

namespace fs = std::filesystem;

const std::string& small_suite() {
  static const std::string text = R"(extends = "nano"
seeds = [1, 2]

[model]
vocab = 256

[data]
train = "data/train.bin"
val = ["data/val.bin"]

[run]
steps = 10
eval_every = 0

[[scale]]
name = "small"
set = ["model.width=64"]

[[scale]]
name = "large"
set = ["model.width=128"]

[[variant]]
name = "baseline"
class = "baseline"
set = ["model.norm=none", "model.final_norm=layernorm", "model.attention=naive"]

[[variant]]
name = "layernorm"
class = "compute-independent"
set = ["model.norm=layernorm"]
)";
  return text;
}

SweepFolder::SweepFolder() {
  std::string name = (fs::temp_directory_path() / "isoloss_sweep_XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  root_ = name;
  write("suite.toml", small_suite());
  const std::string tokens(4096, '\0');  // ids 0 in nanoGPT's bare format
  write("data/train.bin", tokens);
  write("data/val.bin", tokens);
}

SweepFolder::~SweepFolder() { fs::remove_all(root_); }

fs::path SweepFolder::write(std::string_view file, std::string_view text) const {
  fs::create_directories((root_ / file).parent_path());
  std::ofstream(root_ / file, std::ios::binary) << text;
  return root_ / file;
}

std::string SweepFolder::read(std::string_view file) const {
  return fs::exists(root_ / file) ? read_file(root_ / file) : "";
}

pid_t SweepFolder::launch(std::vector<std::string> words, const std::map<std::string, std::string>& environment) const {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::string out = (root_ / "stdout").string(), error = (root_ / "stderr").string();
  const pid_t process = ::fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    ::setpgid(0, 0);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
    ::dup2(::open(error.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  return process;
}

pid_t SweepFolder::start(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment) const {
  const std::string programs = ISOLOSS_PROGRAMS;
  std::vector<std::string> words = {
      programs + "/sweep", (root_ / "suite.toml").string(), "--out", (root_ / "out").string(),
      "--train",           programs + "/fake_train"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return launch(std::move(words), environment);
}

void SweepFolder::wait_for_log(const std::string& run) const {
  // Ten minutes at most, which is far more than a loaded machine takes.
  for (int i = 0; i < 60'000 && read("out/" + run + "/log.jsonl").empty(); ++i) ::usleep(10'000);
  REQUIRE(!read("out/" + run + "/log.jsonl").empty());
}

ProgramResult SweepFolder::wait(pid_t process) const {
  int status = 0;
  REQUIRE(::waitpid(process, &status, 0) == process);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read("stdout"), read("stderr")};
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string with(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace isoloss
