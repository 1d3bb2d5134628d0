// plant_bug --list: name, test program, cases and file of every bug, a line each, with tabs between.
// plant_bug NAME ROOT: plants that bug in the sources under ROOT.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "tests/harness/replace_once.h"
#include "tests/planted/bugs.h"

namespace {

namespace fs = std::filesystem;
using isoloss::planted::Bug, isoloss::planted::kBugs;

int list() {
  for (const Bug& bug : kBugs) fmt::print("{}\t{}\t{}\t{}\n", bug.name, bug.program, bug.cases, bug.file);
  return 0;
}

int plant(const Bug& bug, const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (const std::size_t found = isoloss::test::occurrences(text, bug.from); found != 1) {
    fmt::print(stderr, "error: [{}] expected its text once in {}, got it {} times\n", bug.name, bug.file, found);
    return 1;
  }
  std::ofstream(path, std::ios::binary) << isoloss::test::replaced(text, bug.from, bug.to);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") return list();
  if (argc != 3) {
    fmt::print(stderr, "error: [plant_bug] expected --list, or NAME and ROOT, got {} arguments\n", argc - 1);
    return 2;
  }
  for (const Bug& bug : kBugs) {
    if (bug.name == argv[1]) return plant(bug, fs::path(argv[2]) / bug.file);
  }
  fmt::print(stderr, "error: [plant_bug] expected the name of a bug (--list shows them), got {}\n", argv[1]);
  return 2;
}
