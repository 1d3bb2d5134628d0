// What is on disk after a power cut at any moment: follows from the order of the calls that write, sync and name files.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "engine/remains.h"
#include "tests/harness/files.h"
#include "tests/harness/system_calls.h"
#include "tests/harness/tiny_run.h"

using namespace isoloss;
using test::SystemCall, test::SystemCalls, test::tiny_config, test::tiny_spec, test::train;
namespace fs = std::filesystem;

namespace {

/// A disk that has really got only what was synced: the contents by fsync of the file, the names by fsync of the
/// folder.
class Disk {
 public:
  explicit Disk(fs::path run) : run_(std::move(run)) {}

  void follow(const SystemCall& call) {
    CAPTURE(call.name);
    CAPTURE(call.path.string());
    CAPTURE(call.to.string());
    if (call.name == "write") {
      if (is_record(call.path)) CHECK_MESSAGE(named_.contains(run_ / "manifest.json"), "a line without a manifest");
      unwritten_.insert(call.path);
    } else if (call.name == "create") {
      // A temporary file is nothing to rely on before it has its final name.
      if (call.path.extension() != ".tmp") unnamed_.insert(call.path.parent_path());
    } else if (call.name == "fsync") {
      if (is_record(call.path)) CHECK_MESSAGE(!unnamed_.contains(run_), "lines are synced in a file without a name");
      unwritten_.erase(call.path);
      unnamed_.erase(call.path);
    } else {
      // Whatever is named or removed now relies on everything before it.
      CHECK_MESSAGE(unnamed_.empty(), "an earlier name is not on disk yet");
      CHECK_MESSAGE(!unwritten_.contains(run_ / "log.jsonl"), "a line of log.jsonl is not on disk yet");
      CHECK_MESSAGE(!unwritten_.contains(run_ / "eval.jsonl"), "a line of eval.jsonl is not on disk yet");
      if (call.name == "remove") {
        const fs::path checkpoint = call.path.parent_path();  // "checkpoints/step_00000005" of one of its files
        const bool whole = checkpoint.parent_path() == run_ / "checkpoints" && checkpoint.extension() != ".tmp";
        CHECK_MESSAGE(!whole, "a checkpoint is taken apart under its own name");
        return;
      }
      if (call.to.extension() == ".tmp") return;  // to be removed: nothing relies on that name
      for (const fs::path& path : unwritten_) {
        const bool below = path == call.path || path.parent_path() == call.path;
        CHECK_MESSAGE(!below, path.string() << " is named before its content is on disk");
      }
      unnamed_.insert(call.to.parent_path());
      named_.insert(call.to);
      names_.push_back(call.to.lexically_relative(run_).string());
    }
  }
  void finish() const { CHECK(unnamed_.empty()); }

  /// The names that files and folders of the run got, in their order.
  const std::vector<std::string>& names() const { return names_; }

 private:
  bool is_record(const fs::path& path) const { return path == run_ / "log.jsonl" || path == run_ / "eval.jsonl"; }

  fs::path run_;
  std::set<fs::path> unwritten_;  ///< files with content that no fsync has followed
  std::set<fs::path> unnamed_;    ///< folders in which something was made or named that no fsync has followed
  std::set<fs::path> named_;
  std::vector<std::string> names_;
};

struct Followed {
  std::vector<std::string> names;
  std::size_t synced_lines = 0;  ///< fsyncs of log.jsonl
};

Followed follow(const fs::path& run, const std::function<void()>& action) {
  Disk disk(run);
  Followed followed;
  std::vector<SystemCall> calls;
  {
    const SystemCalls recorded;
    action();
    calls = recorded.all();
  }
  for (const SystemCall& call : calls) {
    disk.follow(call);
    if (call.name == "fsync" && call.path == run / "log.jsonl") ++followed.synced_lines;
  }
  disk.finish();
  followed.names = disk.names();
  return followed;
}

std::vector<std::string> checkpoint(const std::string& step) {
  const std::string temporary = "checkpoints/step_" + step + ".tmp/";
  return {temporary + "model.safetensors", temporary + "optimizer.safetensors", temporary + "state.json",
          "checkpoints/step_" + step};
}

std::vector<std::string> joined(std::initializer_list<std::vector<std::string>> parts) {
  std::vector<std::string> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

TEST_CASE("manifest, record, checkpoint and weights reach the disk in an order in which a power cut leaves a run") {
  const test::TemporaryFolder folder;
  const fs::path run = folder / "run";
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.run.checkpoint_every = 5;
  config.run.keep_checkpoints = 1;
  train(folder / "warm", spec, config);  // writes the tokens
  const std::vector<std::string> manifest = {"manifest.json"}, weights = {"model.safetensors"};

  const Followed stopped = follow(run, [&] { train(run, spec, config, false, 6); });
  CHECK(stopped.names ==
        joined({manifest, checkpoint("00000000"), checkpoint("00000005"), checkpoint("00000007"), manifest}));
  CHECK(stopped.synced_lines == 3);
  const Followed resumed = follow(run, [&] { train(run, spec, config, true); });
  CHECK(resumed.names == joined({manifest, checkpoint("00000010"), checkpoint("00000012"), weights, manifest}));
  CHECK(resumed.synced_lines == 4);  // also of the lines that were cut, and at the end
}

TEST_CASE("the record of a run that diverged reaches the disk before the manifest that says how it ends") {
  const test::TemporaryFolder folder;
  const fs::path run = folder / "run";
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.run.checkpoint_every = 5;
  train(folder / "warm", spec, config, false, 0);  // writes the tokens
  config.optimizer.learning_rate = 1e38;
  const Followed diverged = follow(run, [&] {
    CHECK(test::error_of([&] { train(run, spec, config); }).starts_with("1 [step 2] expected a finite loss"));
  });
  CHECK(diverged.names.back() == "manifest.json");
  const Manifest manifest = read_manifest(run);
  CHECK(manifest.status == RunStatus::diverged);
  CHECK(manifest.records.value().log.lines == 1);
}

TEST_CASE("of the remains of a run the manifest goes last, so that what a kill leaves is still known for such") {
  const test::TemporaryFolder folder;
  for (const char* name : {"log.jsonl", "eval.jsonl", "checkpoints/step_00000004.tmp/state.json", "manifest.json"}) {
    test::put_file(folder / name, "");
  }
  const SystemCalls recorded;
  remove_record(folder.path());
  std::vector<fs::path> removed;
  for (const SystemCall& call : recorded.all()) {
    if (call.name == "remove" && !fs::exists(call.path)) removed.push_back(call.path.filename());
  }
  CHECK_FALSE(fs::exists(folder / "manifest.json"));
  CHECK(removed.size() >= 4);
  CHECK(removed.back() == "manifest.json");
}
