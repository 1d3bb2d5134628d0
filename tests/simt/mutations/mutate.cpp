// simt_mutate ROOT OUT: writes OUT/<name>/<file>, the changed file of every mutation of the sources under ROOT, and
// OUT/<name>.cpp, which includes the source to compile. Ends with an error where the text of a mutation is not in its
// file exactly once.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/simt/mutations/mutations.h"

namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Leaves a file alone that says the same already, so that nothing is compiled again.
void write(const fs::path& path, const std::string& text) {
  if (fs::exists(path) && content(path) == text) return;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const fs::path root = argv[1], out = argv[2];
  int wrong = 0;
  for (const simt::Mutation& mutation : simt::kMutations) {
    std::string text = content(root / mutation.file);
    const std::size_t found = count(text, mutation.from);
    if (found != 1) {
      fmt::print(stderr, "error: [mutation {}] expected its text once in {}, got it {} times\n", mutation.name,
                 mutation.file, found);
      ++wrong;
      continue;
    }
    text.replace(text.find(mutation.from), mutation.from.size(), mutation.to);
    write(out / mutation.name / mutation.file, text);
    write(out / fmt::format("{}.cpp", mutation.name), fmt::format("#include \"{}\"\n", mutation.source));
  }
  return wrong == 0 ? 0 : 1;
}
