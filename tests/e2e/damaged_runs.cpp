// Runs whose weights went bad, and runs that were killed before there was anything to go on from.
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/core/file.h"
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
  fs::remove(workspace.path("run/model.safetensors"));
  fs::rename(weights, workspace.path("run/model.safetensors"));
  const ProcessResult result = run({program("generate"), "--run", workspace.path("run"), "--prompt", "a"});
  CHECK(result.exit_code == 1);
  CHECK_MESSAGE(result.err.find("transformer.ln_f.weight") != std::string::npos, result.err);
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

TEST_CASE("a run from given weights that was killed early does not start from the seed instead") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("first", {"--quiet"})).exit_code == 0);
  const std::vector<std::string> from{"--quiet", "--init-from", workspace.path("first/model.safetensors")};
  REQUIRE(run(workspace.train("run", from)).exit_code == 0);
  const std::string whole = read_file(workspace.path("run/model.safetensors"));
  fs::remove(workspace.path("run/model.safetensors"));
  fs::remove_all(workspace.path("run/checkpoints"));
  std::string manifest = read_file(workspace.path("run/manifest.json"));
  const std::size_t status = manifest.find("\"finished\"");
  REQUIRE(status != std::string::npos);
  put_file(workspace.path("run/manifest.json"), manifest.replace(status, 10, "\"running\""));

  const ProcessResult resumed = run(workspace.train("run", {"--quiet", "--resume"}));
  CHECK(resumed.exit_code == 2);
  CHECK_MESSAGE(resumed.err.find("--init-from model.safetensors") != std::string::npos, resumed.err);
  REQUIRE(run(workspace.train("run", from)).exit_code == 0);
  CHECK(read_file(workspace.path("run/model.safetensors")) == whole);
}
