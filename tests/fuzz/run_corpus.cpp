// Runs a fuzz target without libFuzzer, and takes the same options: every file of a folder as it is and with bytes
// changed or cut off, and inputs of random bytes. All is drawn from the file's content or the seed, so a failure is
// there again the next time; the input that failed is left in PREFIXcrash.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/philox.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {
std::string input, crash_path = "crash";
std::uint64_t executions = 0;

extern "C" void keep_input(int signal) {
  const int file = ::open(crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && ::write(file, input.data(), input.size()) >= 0) ::close(file);
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(std::string bytes) {
  input = std::move(bytes);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  ++executions;
}

void run_changed(const std::string& bytes) {
  constexpr int changes = 200;
  isoloss::Philox random(isoloss::hash_name(bytes));
  for (int i = 0; i < changes && !bytes.empty(); ++i) {
    std::string copy = bytes;
    copy[random.below(copy.size())] = static_cast<char>(random.next());
    run(std::move(copy));
    run(bytes.substr(0, random.below(bytes.size())));
  }
}

void run_random(std::uint64_t seed, std::uint64_t count) {
  constexpr std::uint64_t longest = 512;
  for (std::uint64_t i = 0; i < count; ++i) {
    isoloss::Philox random(seed, i);
    std::string bytes(1 + random.below(longest), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.next());
    run(std::move(bytes));
  }
}

void run_folder(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string bytes = isoloss::read_file(entry.path());
    run(bytes);
    run_changed(bytes);
  }
}
}  // namespace

int main(int argc, char** argv) {
  std::uint64_t runs = 0, seed = 1;
  const auto option = [](std::string_view argument, std::string_view name, std::uint64_t& value) {
    if (!argument.starts_with(name)) return false;
    return std::from_chars(argument.data() + name.size(), argument.data() + argument.size(), value).ec == std::errc();
  };
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS}) std::signal(signal, keep_input);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i], prefix = "-artifact_prefix=";
    if (argument.starts_with(prefix)) crash_path = std::string(argument.substr(prefix.size())) + "crash";
    if (option(argument, "-runs=", runs) || option(argument, "-seed=", seed) || argument.starts_with('-')) continue;
    if (std::filesystem::is_directory(argument)) {
      run_folder(argument);
    } else {
      run(isoloss::read_file(argument));
    }
  }
  run_random(seed, runs);
  fmt::print("{} executions\n", executions);
  return executions > 0 ? 0 : 1;
}
