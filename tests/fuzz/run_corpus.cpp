// Runs a fuzz target without libFuzzer: every file of a folder as it is, every prefix that matters of it, and copies
// with one byte changed. The changes are drawn from the file's own content, so a failure is there again the next time.
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "kernels/core/error.h"
#include "kernels/core/file.h"
#include "kernels/core/philox.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {
void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

void run_changed(const std::string& bytes) {
  constexpr int changes = 200;
  isoloss::Philox random(isoloss::hash_name(bytes));
  for (int i = 0; i < changes && !bytes.empty(); ++i) {
    std::string copy = bytes;
    copy[random.below(copy.size())] = static_cast<char>(random.next());
    run(copy);
    run(bytes.substr(0, random.below(bytes.size())));
  }
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: fuzz_NAME CORPUS_FOLDER\n", stderr);
    return 2;
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    const std::string bytes = isoloss::read_file(entry.path());
    run(bytes);
    run_changed(bytes);
    ++files;
  }
  fmt::print("{} files\n", files);
  return files > 0 ? 0 : 1;
}
