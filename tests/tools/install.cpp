// What `cmake --install` leaves: programs that run elsewhere, from their own files alone, and a package for CMake.
#include <doctest/doctest.h>

#include <cctype>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/base/file.h"
#include "tests/harness/files.h"
#include "tests/harness/process.h"

namespace isoloss::test {
namespace {

namespace fs = std::filesystem;

/// An installation that was moved after it was made, and an empty folder to work in.
class Installation {
 public:
  Installation() {
    const ProcessResult made = run({ISOLOSS_CMAKE, "--install", ISOLOSS_BUILD, "--prefix", folder_ / "made"});
    REQUIRE_MESSAGE(made.exit_code == 0, made.err);
    fs::rename(folder_ / "made", prefix());
    fs::create_directory(folder_ / "work");
  }

  fs::path prefix() const { return folder_ / "moved"; }
  std::string path(const std::string& name) const { return folder_ / name; }

  /// Runs an installed program in the folder `work`.
  ProcessResult call(const std::string& name, const std::vector<std::string>& arguments) const {
    std::vector<std::string> command{"/bin/sh", "-c",         R"(cd "$1" && shift && exec "$@")",
                                     "sh",      path("work"), prefix() / "bin" / name};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command);
  }

 private:
  TemporaryFolder folder_;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Whether `content` has the absolute path of `folder` or of something in it, and not only a path with the same words.
bool names_folder(const std::string& content, const std::string& folder) {
  const auto in_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-'; };
  for (std::size_t at = content.find(folder); at != std::string::npos; at = content.find(folder, at + 1)) {
    const char before = at == 0 ? '\0' : content[at - 1], after = content.c_str()[at + folder.size()];
    if (!in_name(before) && before != '.' && before != '/' && before != '}' && !in_name(after)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("installed programs run in any folder, with the presets and suites that came with them") {
  const Installation installed;
  const ProcessResult plan = installed.call("train", {"nano", "--plan", "--device", "cpu", "--set", "model.vocab=65"});
  CHECK_MESSAGE(plan.exit_code == 0, plan.err);
  CHECK(contains(plan.out, "FLOPs per token"));

  const ProcessResult sweep = installed.call("sweep", {"demo", "--out", "runs", "--dry-run"});
  CHECK_MESSAGE(sweep.exit_code == 0, sweep.err);
  CHECK(contains(sweep.out, "15 runs, 0 finished"));
  const ProcessResult unknown = installed.call("sweep", {"dmo", "--out", "runs", "--dry-run"});
  CHECK(unknown.exit_code == 2);
  CHECK(unknown.err ==
        "error: [SUITE] expected a suite file, or one of demo, gpu, openstax, got dmo, which is not there\n");
  const fs::path suites = installed.prefix() / "share/isoloss/models/suites";
  fs::rename(suites / "demo.toml", suites / "renamed.toml");  // which neither sources nor build have
  CHECK(contains(installed.call("sweep", {"renamed", "--out", "runs", "--dry-run"}).out, "15 runs, 0 finished"));
  put_file(installed.path("work/demo"), "seeds = 1\n");  // a file comes before a suite of its name
  CHECK(contains(installed.call("sweep", {"demo", "--out", "runs", "--dry-run"}).err, "error: [demo:"));

  const std::string curves = installed.prefix() / "share/isoloss/tools/ceg/example/curves.csv";
  const ProcessResult ceg =
      installed.call("ceg", {curves, "--baseline", "baseline", "--cost", "flops", "--resamples", "100"});
  CHECK_MESSAGE(ceg.exit_code == 0, ceg.err);
  CHECK(contains(ceg.out, "layernorm"));

  for (const char* name : {"tokenize", "evaluate", "generate", "bench"}) {
    CHECK_MESSAGE(installed.call(name, {"--help"}).exit_code == 0, name);
  }
  for (const char* name : {"README.md", "LICENSE", "CHANGELOG.md"}) {
    CHECK_MESSAGE(fs::file_size(installed.prefix() / "share/doc/isoloss" / name) > 0, name);
  }
}

TEST_CASE("nothing installed names the folder of the sources or of the build") {
  CHECK(names_folder("x /a/b/c", "/a/b"));
  CHECK(names_folder("x=/a/b", "/a/b"));
  CHECK_FALSE(names_folder("/x/a/b/c /a/bc/", "/a/b"));
  const Installation installed;
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(installed.prefix())) {
    if (!entry.is_regular_file()) continue;
    CHECK_FALSE(entry.is_symlink());
    ++files;
    if (ISOLOSS_HAS_DEBUG_INFORMATION && entry.path().parent_path().filename() == "bin") continue;
    const std::string content = read_file(entry.path());
    for (const std::string& folder : {fs::current_path().string(), std::string(ISOLOSS_BUILD)}) {
      CHECK_MESSAGE(!names_folder(content, folder), entry.path().string());
    }
  }
  CHECK(files > 20);
}

TEST_CASE("find_package(isoloss) gives the programs and their files") {
  const Installation installed;
  put_file(installed.path("user/CMakeLists.txt"), R"(cmake_minimum_required(VERSION 3.25)
project(user NONE)
find_package(isoloss )" ISOLOSS_VERSION R"( CONFIG REQUIRED)
foreach(program train sweep ceg tokenize evaluate generate bench)
  get_target_property(file isoloss::${program} LOCATION)
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "${program} is not at ${file}")
  endif()
endforeach()
file(WRITE found.txt "${file} ${isoloss_SHARE} ${isoloss_VERSION}")
)");
  const ProcessResult made = run({ISOLOSS_CMAKE, "-G", "Ninja", "-S", installed.path("user"), "-B",
                                  installed.path("user/build"), "-DCMAKE_PREFIX_PATH=" + installed.prefix().string()});
  REQUIRE_MESSAGE(made.exit_code == 0, made.err);
  const std::string prefix = installed.prefix();
  CHECK(read_file(installed.path("user/found.txt")) ==
        prefix + "/bin/bench " + prefix + "/share/isoloss " ISOLOSS_VERSION);
}

}  // namespace isoloss::test
