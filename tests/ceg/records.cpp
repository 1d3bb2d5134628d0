// Run folders that are damaged, hidden, linked or unlike each other: an error or a note, never a silent gap.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/base/file.h"
#include "kernels/base/sealed_json.h"
#include "synthetic.h"
#include "tests/harness/files.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;
namespace fs = std::filesystem;

namespace {

std::string evaluation(int step, double loss) { return fmt::format("{{\"step\":{},\"val_loss\":{}}}\n", step, loss); }
const std::string kWhole = evaluation(0, 9) + evaluation(10, 4) + evaluation(20, 3) + evaluation(30, 2);

struct RunText {
  std::string variant = "v", status = "finished", config = R"({"run": {"steps": 30, "eval_every": 10}})";
  std::string record = kWhole;
};

void put_run(const fs::path& folder, const RunText& run) {
  put_file(folder / "manifest.json",
           fmt::format(R"({{"status": "{}", "config": {}, "sweep": {{"variant": "{}", "seed": 1}}}})", run.status,
                       run.config, run.variant));
  put_file(folder / "eval.jsonl", run.record);
}

std::vector<std::string> variants_of(const std::vector<fs::path>& paths) {
  std::vector<std::string> names;
  for (const Run& run : read_runs(paths, CsvLayout::isoloss)) names.push_back(run.variant);
  return names;
}

/// No more descriptors than are open now.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int next = ::open("/dev/null", O_RDONLY);
    ::close(next);
    rlimit now = before_;
    now.rlim_cur = static_cast<rlim_t>(next);
    ::setrlimit(RLIMIT_NOFILE, &now);
  }
  ~NoMoreFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// Somebody who may read only what others may; root for whom everything is open becomes nobody for a while.
class Stranger {
 public:
  Stranger() : was_root_(::geteuid() == 0) {
    if (was_root_) changed_ = ::seteuid(65534) == 0;
  }
  ~Stranger() {
    if (changed_) changed_ = ::seteuid(0) != 0;
  }

 private:
  bool was_root_, changed_ = false;
};

}  // namespace

TEST_CASE("a folder that cannot be read is an error that names it, and hides none of those after it") {
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  for (const std::string name : {"a", "b", "c"}) put_run(folder / name, {.variant = name});
  CHECK(variants_of({folder.path()}) == std::vector<std::string>{"a", "b", "c"});
  for (const std::string name : {"a", "b", "c"}) {
    fs::permissions(folder / name, fs::perms::none);
    std::string message;
    {
      const Stranger stranger;
      message = input_error([&] { variants_of({folder.path()}); });
    }
    fs::permissions(folder / name, fs::perms::all);
    CHECK(message ==
          fmt::format("[{}] expected a folder that can be read, got Permission denied", (folder / name).string()));
  }
  std::string message;
  {
    const NoMoreFiles limit;
    message = input_error([&] { find_folders(folder.path()); });
  }
  CHECK(message ==
        fmt::format("[{}] expected a folder that can be read, got Too many open files", folder.path().string()));
  fs::create_symlink("round", folder / "round");
  CHECK(input_error([&] { variants_of({folder.path()}); }).find("round] expected a file or folder") !=
        std::string::npos);
}

TEST_CASE("what several paths and links lead to is read once, and links are followed") {
  const TemporaryFolder folder, elsewhere;
  put_run(folder / "sweep/a", {.variant = "a"});
  put_run(elsewhere / "b", {.variant = "b"});
  fs::create_directory_symlink(elsewhere / "b", folder / "sweep/b");
  fs::create_directory_symlink(folder / "sweep", folder / "sweep/a/above");
  fs::create_directory_symlink(folder / "sweep/nothing", folder / "sweep/dangling");
  const std::vector<std::string> both{"a", "b"};
  CHECK(variants_of({folder / "sweep"}) == both);
  CHECK(variants_of({folder / "sweep", folder / "sweep/a", elsewhere / "b", folder / "sweep"}) == both);
  // A run folder is looked through like any other, but for what is its own.
  put_run(folder / "sweep/a/again", {.variant = "again"});
  put_file(folder / "sweep/a/checkpoints/step_1/eval.jsonl", kWhole);
  CHECK(variants_of({folder / "sweep/a"}).size() == variants_of({folder / "sweep"}).size());
  put_file(folder / "sweep/sweep.json", "{}");
  put_run(folder / "sweep/tuning/c", {.variant = "c"});
  CHECK(variants_of({folder / "sweep"}) == std::vector<std::string>{"a", "again", "b"});
  put_file(folder / "sweep/d/eval.jsonl", kWhole);
  CHECK(input_error([&] { variants_of({folder / "sweep"}); }) ==
        fmt::format("[{}] expected a manifest.json beside eval.jsonl, got none", (folder / "sweep/d").string()));
}

TEST_CASE("the record of a finished run ends with the run, and its steps rise") {
  const TemporaryFolder folder;
  const fs::path run = folder / "run", record = run / "eval.jsonl";
  const auto error_with = [&](const RunText& text) {
    put_run(run, text);
    return input_error([&] { read_run_folder(run); });
  };
  const auto notes_with = [&](const RunText& text) {
    put_run(run, text);
    std::vector<std::string> notes;
    for (const Note& note : read_run_folder(run).notes) notes.push_back(note.text);
    return notes;
  };
  const std::string short_record = evaluation(0, 9) + evaluation(10, 4) + evaluation(20, 3);
  const std::string expected = "[" + record.string() +
                               "] expected a last evaluation at step 30, where the finished run "
                               "ends, got one at step ";
  CHECK(notes_with({}).empty());
  CHECK(error_with({.record = short_record}) == expected + "20");
  CHECK(error_with({.record = kWhole + evaluation(40, 1)}) == expected + "40");
  CHECK(error_with({.record = short_record + "{\"step\":30,\"val_l"}) == expected + "20");
  CHECK(error_with({.record = evaluation(0, 9) + evaluation(10, 4) + evaluation(10, 4) + evaluation(20, 3) +
                              evaluation(30, 2)}) ==
        "[" + record.string() + ":3] expected a step above 10, that of the line before, got 10");
  CHECK(error_with({.record = evaluation(0, 9) + evaluation(20, 3) + evaluation(10, 4) + evaluation(30, 2)}) ==
        "[" + record.string() + ":3] expected a step above 20, that of the line before, got 10");
  for (const char* status : {"running", "interrupted", "diverged"}) {
    CHECK(notes_with({.status = status, .record = short_record}).empty());
    CHECK(notes_with({.status = status, .record = short_record + "{\"st"}) ==
          std::vector<std::string>{"the record ends within a line, what is left of which is not taken"});
    CHECK(error_with({.status = status, .record = "\n"}).empty());  // nothing evaluated yet
  }
  CHECK(notes_with({.record = evaluation(20, 3) + evaluation(30, 2)}) ==
        std::vector<std::string>{"the record begins at step 20: what came before is missing"});
  CHECK(error_with({.config = "{}", .record = short_record}).empty());  // without a last step there is none to miss
  put_run(run, {.status = "running"});
  fs::remove(record);
  CHECK(read_run_folder(run).points.empty());
  put_run(run, {});
  fs::remove(record);
  CHECK(input_error([&] { read_run_folder(run); }).find(record.string()) != std::string::npos);
}

TEST_CASE("a run that a sweep has planned and that is nowhere is missed") {
  const TemporaryFolder folder;
  put_run(folder / "s/a/seed1", {.variant = "a"});
  put_run(folder / "s/b/seed1", {.variant = "b"});
  const auto plan = [](const std::string& variant, int seed, const std::string& state) {
    return fmt::format(
        R"({{"variant": "{0}", "scale": "default", "seed": {1}, "folder": "s/{0}/seed{1}", "state": "{2}"}})", variant,
        seed, state);
  };
  put_file(folder / "sweep.json",
           fmt::format(R"({{"runs": [{}, {}, {}, {}, {}]}})", plan("a", 1, "finished"), plan("b", 1, "finished"),
                       plan("b", 2, "failed"), plan("b", 3, "finished"), plan("c", 1, "left out")));
  const auto runs = read_runs({folder.path()}, CsvLayout::isoloss);
  REQUIRE(runs.size() == 4);
  CHECK(runs[3].status == "planned");
  const Analysis analysis = analyse(runs, options_for("a"));
  CHECK(row_of(analysis, "b").seeds == 1);
  CHECK(texts_of(analysis, WarningKind::missing) ==
        std::vector<std::string>{"scale `default`: the sweep's plan has `b` seed 2, 3, of which there is no run"});
  put_file(folder / "sweep.json", R"({"runs": 1})");
  CHECK(input_error([&] { read_runs({folder.path()}, CsvLayout::isoloss); }).find("an array for `runs`") !=
        std::string::npos);
}

TEST_CASE("a manifest or a record that has changed since the run ended is an error that names it") {
  const TemporaryFolder folder;
  const fs::path path = folder / "manifest.json", record = folder / "eval.jsonl";
  const std::string changed = evaluation(0, 9) + evaluation(10, 4) + evaluation(20, 3) + evaluation(30, 1);
  const auto error_with = [&](const std::string& lines, const std::function<void(nlohmann::ordered_json&)>& change) {
    put_run(folder.path(), {.record = kWhole});
    auto manifest = nlohmann::ordered_json::parse(read_file(path));
    Xxh64 checksum;
    checksum.update(kWhole.data(), kWhole.size());
    manifest["records"]["eval.jsonl"] = to_json(FileDigest{kWhole.size(), checksum.value()});
    seal(manifest, "status");
    change(manifest);
    put_file(path, manifest.dump(2));
    put_file(record, lines);
    return input_error([&] { read_run_folder(folder.path()); });
  };
  const auto nothing = [](nlohmann::ordered_json&) {};
  const std::string said = "[" + record.string() + "] expected ";
  CHECK(error_with(kWhole, nothing).empty());
  CHECK(error_with(changed, nothing).starts_with(said + "the checksum "));
  CHECK(error_with(kWhole + "\n", nothing).starts_with(said + std::to_string(kWhole.size()) + " bytes"));
  CHECK(error_with(kWhole, [](auto& m) {
          m["sweep"]["seed"] = 2;
        }).starts_with("[" + path.string() + "] expected values of the checksum "));
  CHECK(error_with(kWhole, [](auto& m) {
          m["records"] = 3, m.erase("xxh64");
        }).starts_with("[" + path.string() + "] expected the manifest of a run, got an error: "));
  CHECK(error_with(kWhole, [](auto& m) { m["status"] = "interrupted"; }).empty());  // under no seal
  // What earlier versions wrote says nothing of that kind.
  CHECK(error_with(changed, [](auto& m) { m.erase("records"), m.erase("xxh64"); }).empty());
}

TEST_CASE("the manifest's tokenizer and training data are read") {
  const TemporaryFolder folder;
  put_run(folder.path(), {});
  put_file(folder / "manifest.json",
           R"({"data": {"tokenizer_sha256": "t", "train": [{"sha256": "a"}, {"sha256": "b"}]}})");
  const Run run = read_run_folder(folder.path());
  CHECK(run.tokenizer == "t");
  CHECK(run.training_data == "ab");
  CHECK(run.settings.empty());
  put_run(folder.path(), {.config = R"({"run": {"steps": 30, "seed": 5, "log_every": 1},
                                        "data": {"train": ["x"], "sampling": "random"}, "preset": "nano"})"});
  CHECK(read_run_folder(folder.path()).settings ==
        std::map<std::string, std::string>{{"run.steps", "30"}, {"data.sampling", "\"random\""}});
  put_file(folder / "manifest.json", R"({"data": {"train": [1]}})");
  CHECK(input_error([&] { read_run_folder(folder.path()); }).find("expected objects in `train`") != std::string::npos);
}
