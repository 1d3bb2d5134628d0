// Scripts of `sweep --slurm` on a real Slurm of this machine alone, where one is installed (slurm-wlm, munge).
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/file.h"
#include "tests/e2e/fixture.h"

using namespace isoloss;
using namespace isoloss::test;
namespace fs = std::filesystem;

namespace {

bool installed(const std::string& name) {
  return fs::exists("/usr/sbin/" + name) || fs::exists("/usr/bin/" + name) || fs::exists("/usr/local/sbin/" + name);
}

bool has_slurm() { return installed("slurmctld") && installed("slurmd") && installed("munged") && installed("sbatch"); }

class Slurm {
 public:
  Slurm() {
    const ProcessResult up = shell("SLURM_PORT=" + std::to_string(20000 + ::getpid() % 10000) +
                                   " tests/e2e/slurm_up.sh " + (folder_ / "").string() + " > /dev/null");
    REQUIRE_MESSAGE(up.exit_code == 0, up.err);
    ::setenv("SLURM_CONF", (folder_ / "slurm.conf").c_str(), 1);
  }
  ~Slurm() {
    shell("tests/e2e/slurm_down.sh " + (folder_ / "").string());
    ::unsetenv("SLURM_CONF");
  }
  Slurm(const Slurm&) = delete;
  Slurm& operator=(const Slurm&) = delete;

  static ProcessResult shell(const std::string& line) { return run({"/bin/bash", "-c", line}); }

 private:
  TemporaryFolder folder_{"isoloss_slurm"};
};

void wait_until(const std::function<bool()>& holds) {
  while (!holds()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

}  // namespace

TEST_CASE("an array on Slurm: the bits of a local sweep, and a stopped task goes on" * doctest::skip(!has_slurm())) {
  const Workspace workspace;
  const Slurm slurm;
  const std::string logs = " --chdir=" + workspace.path("") + " ";

  workspace.write_suite(30);
  REQUIRE(run(workspace.sweep("local", {})).exit_code == 0);
  REQUIRE(run(workspace.sweep("array", {"--slurm", workspace.path("job.sh")})).exit_code == 0);
  const ProcessResult whole = Slurm::shell("sbatch --wait --quiet" + logs + workspace.path("job.sh"));
  CHECK_MESSAGE(whole.exit_code == 0, whole.err);
  int runs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(workspace.path("local"))) {
    if (entry.path().filename() != "model.safetensors" ||
        entry.path().string().find("checkpoints") != std::string::npos)
      continue;
    const fs::path same = workspace.path("array") / entry.path().lexically_relative(workspace.path("local"));
    CHECK_MESSAGE(read_file(entry.path()) == read_file(same), same.string());
    ++runs;
  }
  CHECK(runs == 6);
  CHECK(read_file(workspace.path("array/sweep.json")) == read_file(workspace.path("local/sweep.json")));

  REQUIRE(run(workspace.sweep("gpu", {"--device", "cuda", "--slurm", workspace.path("gpu.sh")})).exit_code == 0);
  const ProcessResult gpu = Slurm::shell("sbatch --test-only" + logs + workspace.path("gpu.sh"));
  CHECK_MESSAGE(gpu.exit_code == 0, gpu.err);

  // A run that would last for minutes is told twice to stop: by the signal before the time limit, then by scancel.
  workspace.write_suite(400000);
  REQUIRE(
      run(workspace.sweep("long", {"--only", "a/baseline/seed1", "--slurm", workspace.path("long.sh")})).exit_code ==
      0);
  std::string job = Slurm::shell("sbatch --parsable" + logs + workspace.path("long.sh")).out;
  job.pop_back();
  const fs::path folder = workspace.path("long/a/baseline/seed1");
  const auto status_is = [&](const std::string& status) {
    const bool there = fs::exists(folder / "manifest.json");
    return there && read_file(folder / "manifest.json").find("\"status\": \"" + status) != std::string::npos;
  };
  const auto lines_are = [&] { return fs::exists(folder / "log.jsonl") && fs::file_size(folder / "log.jsonl") > 2000; };
  wait_until(lines_are);
  CHECK(Slurm::shell("scancel --batch --signal=USR1 " + job + "_0").exit_code == 0);
  wait_until([&] { return status_is("interrupted"); });
  const auto field = [&](const std::string& name) {
    return Slurm::shell("scontrol show job " + job + "_0 | grep -o '" + name + "=[A-Za-z0-9]*'").out;
  };
  wait_until([&] { return field("Restarts") == "Restarts=1\n"; });
  CHECK(Slurm::shell("scancel " + job).exit_code == 0);
  wait_until([&] { return Slurm::shell("squeue -h -j " + job).out.empty(); });
  CHECK(status_is("interrupted"));

  job = Slurm::shell("sbatch --parsable" + logs + workspace.path("long.sh")).out;  // the same script goes on
  job.pop_back();
  wait_until([&] { return status_is("running"); });
  const auto before = fs::file_size(folder / "log.jsonl");
  wait_until([&] { return fs::file_size(folder / "log.jsonl") > before + 1000; });
  CHECK(Slurm::shell("scancel " + job).exit_code == 0);
  wait_until([&] { return Slurm::shell("squeue -h -j " + job).out.empty(); });
  CHECK(status_is("interrupted"));  // every process of the job got the signal, train twice
}
