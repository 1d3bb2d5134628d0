// --version: the same four lines of every program, and true.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/harness/process.h"

namespace isoloss::test {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::ranges::find(words, word) != words.end();
}

/// What the system says this machine's processor can do.
std::vector<std::string> features_of_machine() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("flags") || line.starts_with("Features")) return words_of(line.substr(line.find(':') + 1));
  }
  return {};
}

}  // namespace

TEST_CASE("--version: version, commit, devices, processor") {
  const std::vector<std::string> here = features_of_machine();
  const ProcessResult git = run({"/usr/bin/env", "git", "rev-parse", "--short=12", "HEAD"});
  std::vector<std::string> first;
  for (const std::string name : {"train", "sweep", "ceg", "tokenize", "evaluate", "generate", "bench"}) {
    CAPTURE(name);
    const ProcessResult result = run({program(name), "--version"});
    CHECK(result.exit_code == 0);
    CHECK(result.err.empty());
    std::vector<std::string> lines = lines_of(result.out);
    REQUIRE(lines.size() == 4);
    CHECK(lines[0] == name + " (isoloss) " ISOLOSS_VERSION);
    if (git.exit_code == 0) CHECK(lines[1] == "commit: " + git.out.substr(0, 12));
    CHECK(lines[2].starts_with("devices: ref, cpu"));
    CHECK((lines[2].find(", cuda (") != std::string::npos) == ISOLOSS_BUILDS_CUDA);
    lines.erase(lines.begin());
    if (first.empty()) first = lines;
    CHECK(lines == first);
  }
  std::vector<std::string> used = words_of(first.at(2));
  REQUIRE(used.size() >= 3);
  CHECK(used[0] == "processor:");
  used.erase(used.begin(), used.begin() + 2);
  for (const std::string& feature : used) CHECK_MESSAGE(has(here, feature), feature);  // else it would not run
  for (const std::string feature : {"fma", "avx2", "avx512f"}) {  // as far as the compiler was told of this machine
    if (ISOLOSS_IS_NATIVE && has(here, feature)) CHECK_MESSAGE(has(used, feature), feature);
  }
}

}  // namespace isoloss::test
