#include "tools/tokenize/output_folder.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>

#include <map>
#include <set>

#include "data/meta.h"
#include "kernels/base/philox.h"
#include "tests/data/temporary.h"
#include "tests/harness/system_calls.h"
#include "tools/common/program.h"
#include "tools/tokenize/tokenize.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
using Files = std::map<std::string, std::string>;

/// Everything in a folder, by name; a folder inside it has the content "folder".
Files files_of(const fs::path& folder) {
  Files files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename().string()] = entry.is_directory() ? "folder" : read_file(entry.path());
  }
  return files;
}

const Files kOld = {{"meta.json", "{\"vocab_size\": 1}"},
                    {"tokenizer.json", "old"},
                    {"train_000000.bin", "old 0"},
                    {"train_000001.bin", "old 1"},
                    {"val_000000.bin", "old val"}};
const Files kNew = {{"meta.json", "{\"vocab_size\": 2}"},
                    {"tokenizer.json", "new"},
                    {"train_000000.bin", "new 0"},
                    {"val_000000.bin", "new val"}};

struct Place {
  Place() { write(kOld, "out"); }
  void write(const Files& files, const std::string& to) const {
    for (const auto& [name, content] : files) folder.write(to + "/" + name, content);
  }
  /// A whole run of OutputFolder with kNew.
  void replace(const fs::path& at, bool force = true) const {
    OutputFolder output(at, force);
    for (const auto& [name, content] : kNew) write_file_atomically(output.staging() / name, content);
    output.commit();
  }
  fs::path beside() const { return folder.path() / ".out.new"; }

  TemporaryFolder folder;
  fs::path out = folder.path() / "out";
};

Files with(Files files, const std::string& name, const std::string& content) {
  files[name] = content;
  return files;
}
}  // namespace

TEST_CASE_FIXTURE(Place, "the old set stays until the new one is committed, and a failure leaves it") {
  {
    OutputFolder output(out, true);
    write_file_atomically(output.staging() / "train_000000.bin", "half of it");
    CHECK(files_of(out) == kOld);
  }
  CHECK(files_of(out) == kOld);
  CHECK_FALSE(fs::exists(beside()));
  replace(out);
  CHECK(files_of(out) == kNew);
  CHECK(files_of(folder.path()).size() == 1);
}

TEST_CASE_FIXTURE(Place, "a new folder appears whole or not at all") {
  const fs::path made = folder.path() / "deep/er/made";
  { const OutputFolder output(made / "", false); }
  CHECK_FALSE(fs::exists(made));
  replace(made / "", false);
  CHECK(files_of(made) == kNew);
  fs::create_directory(folder.path() / "empty");
  replace(folder.path() / "empty", false);
  CHECK(files_of(folder.path() / "empty") == kNew);
}

TEST_CASE_FIXTURE(Place, "a set is replaced with --force only, shards of other names never") {
  CHECK(contains(input_error([&] { replace(out, false); }), "or --force, got meta.json"));
  CHECK(files_of(out) == kOld);
  folder.write("bare/tokenizer.json", "mine");
  CHECK(contains(input_error([&] { replace(folder.path() / "bare", false); }), "or --force, got tokenizer.json"));
  for (const char* name : {"train_mine.bin", "val_00.bin"}) {
    folder.write("foreign/" + std::string(name), "mine");
    CHECK(contains(input_error([&] { replace(folder.path() / "foreign"); }), "shards of other origin, got"));
    fs::remove(folder.path() / "foreign" / name);
  }
}

TEST_CASE_FIXTURE(Place, "files of other origin stay, in a set and beside none") {
  folder.write("out/notes.txt", "mine");
  fs::create_directory(out / "runs");
  replace(out);
  CHECK(files_of(out) == with(with(kNew, "notes.txt", "mine"), "runs", "folder"));
  folder.write("other/train.bin", "mine");
  replace(folder.path() / "other", false);
  CHECK(files_of(folder.path() / "other") == with(kNew, "train.bin", "mine"));
}

TEST_CASE_FIXTURE(Place, "file by file: stopped after any step, every program refuses the set") {
  folder.write("out/notes.txt", "mine");
  write(kNew, "staging");
  const auto steps = replacement_steps(folder.path() / "staging", out);
  CHECK(steps.size() == 1 + 4 + 4);
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    run_step(steps[i]);
    CAPTURE(i);
    CHECK(contains(input_error([&] { vocabulary_beside(out / "train_000000.bin"); }), "run it with --force"));
  }
  run_step(steps.back());
  CHECK(files_of(out) == with(kNew, "notes.txt", "mine"));
}

TEST_CASE_FIXTURE(Place, "a power cut at any moment leaves no new meta.json without the files that it lists") {
  const auto follow = [&](const fs::path& at) {
    CAPTURE(at.string());
    std::set<fs::path> unnamed;  // folders with names that no fsync has followed
    const test::SystemCalls recorded;
    replace(at);
    int shown = 0;
    for (const test::SystemCall& call : recorded.all()) {
      if (call.name == "fsync") unnamed.erase(call.path);
      if (call.name != "rename") continue;
      const bool shows = call.to == at || (call.to == at / "meta.json" && call.path.extension() != ".tmp");
      if (shows) ++shown, CHECK(unnamed.empty());
      unnamed.insert(call.to.parent_path());
    }
    CHECK(shown == 1);
    CHECK(unnamed.empty());
  };
  follow(folder.path() / "made");
  follow(out);
  folder.write("out/notes.txt", "mine");  // now file by file
  follow(out);
}

TEST_CASE_FIXTURE(Place, "what a killed run left is removed, and nothing else") {
  for (const std::string& left : {std::string(".out.new"), std::string("out/.new")}) {
    CAPTURE(left);
    write(kOld, left + "/set");
    folder.write(left + "/set/train_000002.bin.tmp", "half");
    folder.write(left + "/run.lock", "");
    replace(out);
    CHECK(files_of(out) == kNew);
    CHECK_FALSE(fs::exists(folder.path() / left));
  }
  // The exchange came to pass, and a file of other origin had just come in.
  write(kOld, ".out.new/set");
  folder.write(".out.new/set/notes.txt", "mine");
  replace(out);
  CHECK(files_of(out) == with(kNew, "notes.txt", "mine"));
  folder.write(".out.new/set/notes.txt", "mine, too");
  CHECK_THROWS_AS(replace(out), Error);
  CHECK(read_file(beside() / "set/notes.txt") == "mine, too");
}

TEST_CASE_FIXTURE(Place, "a folder that is being written is left alone") {
  for (const char* beside_it : {"", "notes.txt"}) {  // the two places of the staging folder
    if (*beside_it != '\0') folder.write(std::string("out/") + beside_it, "mine");
    OutputFolder first(out, true);
    write_file_atomically(first.staging() / "meta.json", "first");
    try {
      replace(out);
      FAIL("two at once");
    } catch (const Error& error) {
      CHECK(error.exit_code() == 1);
      CHECK(contains(error.what(), ".new] expected a folder in which nothing runs, got one in which process " +
                                       std::to_string(::getpid()) + " on "));
    }
    CHECK(read_file(first.staging() / "meta.json") == "first");
  }
}

TEST_CASE_FIXTURE(Place, "a symbolic link stays one; the current folder stays the current one") {
  fs::create_directory_symlink(out, folder.path() / "link");
  replace(folder.path() / "link");
  CHECK(fs::is_symlink(folder.path() / "link"));
  CHECK(files_of(out) == kNew);
  const fs::path before = fs::current_path();
  fs::current_path(out);
  replace(".");
  CHECK(files_of(".") == kNew);
  fs::current_path(before);
  fs::create_directory_symlink("nowhere", folder.path() / "dangling");
  CHECK_THROWS_AS(replace(folder.path() / "dangling"), Error);
  CHECK_THROWS_AS(replace(folder.write("file", "")), Error);
}

TEST_CASE("killed at any moment, tokenize --force leaves the old set, the new one, or what is refused") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "out";
  TokenizeOptions old_set, new_set;
  old_set.inputs = {folder.write("old.txt", std::string(5000, 'o')).string()};
  new_set.inputs = {folder.write("new.txt", std::string(5000, 'n')).string()};
  old_set.tokenizer = "bytes";
  new_set.tokenizer = "bpe:260";
  old_set.out = new_set.out = out;
  old_set.force = new_set.force = true;
  new_set.shard_tokens = 250;
  for (const bool beside_others : {false, true}) {
    CAPTURE(beside_others);
    if (beside_others) folder.write("out/notes.txt", "mine");
    const double start = now_seconds();
    REQUIRE(tokenize(new_set) == 0);
    const double seconds = now_seconds() - start;
    const Files expected_new = files_of(out);
    REQUIRE(tokenize(old_set) == 0);
    const Files expected_old = files_of(out);
    Philox random(21);
    for (int i = 0; i < 12; ++i) {
      REQUIRE(tokenize(old_set) == 0);
      const pid_t child = ::fork();
      if (child == 0) {
        tokenize(new_set);
        ::_exit(0);
      }
      ::usleep(static_cast<useconds_t>(static_cast<double>(random.below(1'500'000)) * seconds));
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      Files found = files_of(out);
      found.erase(".new");
      found.erase("meta.json.tmp");  // half of the mark that the set is unfinished; no program reads it
      const bool refused = contains(input_error([&] { vocabulary_beside(out / "x.bin"); }), "run it with --force");
      CHECK((found == expected_old || found == expected_new || (beside_others && refused)));
      CHECK(fs::exists(out / "notes.txt") == beside_others);
    }
  }
}

}  // namespace isoloss
