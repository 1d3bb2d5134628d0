// README.md says what is so: its output is the program's, its packages are those of the scripts, its links lead
// somewhere.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

#include "kernels/base/file.h"
#include "tests/harness/process.h"

namespace isoloss::test {
namespace {

namespace fs = std::filesystem;

/// The lines of an indented block of README.md from the one that begins with `first` to the next that is not indented,
/// without their indentation.
std::string block(const std::string& readme, const std::string& first) {
  const std::string indentation = "    ";
  std::istringstream in(readme);
  std::string text;
  for (std::string line; std::getline(in, line);) {
    if (text.empty() && !line.starts_with(indentation + first)) continue;
    if (!line.empty() && !line.starts_with(indentation)) break;
    text += (line.empty() ? line : line.substr(indentation.size())) + "\n";
  }
  return text.substr(0, text.find_last_not_of('\n') + 1) + "\n";
}

}  // namespace

TEST_CASE("the README shows what ceg prints about the curves beside it") {
  const std::string shown = block(read_file("README.md"), "Compute-equivalent gain over");
  const ProcessResult result =
      run({program("ceg"), "tools/ceg/example/curves.csv", "--baseline", "baseline", "--cost", "flops"});
  CHECK(result.exit_code == 0);
  CHECK(result.out.substr(0, shown.size()) == shown);
  CHECK(std::ranges::count(shown, '\n') == 10);
}

TEST_CASE("the README names the packages that ceg alone needs, by the names that the scripts install") {
  const std::string command = block(read_file("README.md"), "sudo apt-get install");
  const ProcessResult packages =
      run({"/bin/bash", "-c", R"(source tools/dependencies.sh; printf '%s\n' "${ISOLOSS_PACKAGES[@]}")"});
  std::set<std::string> needed, installed;
  std::istringstream out(packages.out), words(command.substr(0, command.find('\n')));
  for (std::string package; out >> package;) installed.insert(package);
  for (std::string word; words >> word;) needed.insert(word);
  for (const char* word : {"sudo", "apt-get", "install", "-y"}) needed.erase(word);
  for (const char* package : {"cmake", "ninja-build", "g++", "libfmt-dev", "nlohmann-json3-dev", "libcli11-dev"}) {
    CAPTURE(package);
    CHECK(installed.contains(package));
    CHECK(needed.erase(package) == 1);
  }
  CHECK(needed.empty());
}

TEST_CASE("what the READMEs link to is there") {
  const std::regex link(R"(\]\(([^)#:]+)(#[^)]*)?\))");
  std::size_t links = 0;
  for (const char* folder : {".", "kernels", "engine", "models", "tools", "tests", "data"}) {
    const auto look = [&](const fs::path& page) {
      if (page.extension() != ".md") return;
      const std::string text = read_file(page);
      for (std::sregex_iterator match(text.begin(), text.end(), link), end; match != end; ++match, ++links) {
        CHECK_MESSAGE(fs::exists(page.parent_path() / (*match)[1].str()), page.string() << " links to " << (*match)[1]);
      }
    };
    if (std::string_view(folder) == ".") {
      for (const auto& entry : fs::directory_iterator(folder)) look(entry.path());
    } else {
      for (const auto& entry : fs::recursive_directory_iterator(folder)) look(entry.path());
    }
  }
  CHECK(links > 10);
}

}  // namespace isoloss::test
