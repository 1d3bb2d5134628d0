// A folder with a suite and its data, and the program `sweep` to run on it with `fake_train`.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss {

struct ProgramResult {
  int code = -1;  ///< exit code, or 128 + signal
  std::string out, error;
};

class SweepFolder {
 public:
  SweepFolder();
  ~SweepFolder();
  SweepFolder(const SweepFolder&) = delete;
  SweepFolder& operator=(const SweepFolder&) = delete;

  std::filesystem::path operator/(std::string_view below) const { return root_ / below; }
  std::filesystem::path write(std::string_view file, std::string_view text) const;
  std::string read(std::string_view file) const;  ///< "" when it is missing

  /// Starts a program of which the first word is the path, in a process group of its own.
  pid_t launch(std::vector<std::string> words, const std::map<std::string, std::string>& environment = {}) const;
  /// Starts `sweep suite.toml --out out` with more arguments; the fake train sees `environment`.
  pid_t start(const std::vector<std::string>& arguments,
              const std::map<std::string, std::string>& environment = {}) const;
  ProgramResult wait(pid_t process) const;
  /// Waits until a run below out/ has logged something.
  void wait_for_log(const std::string& run) const;
  ProgramResult sweep(const std::vector<std::string>& arguments = {},
                      const std::map<std::string, std::string>& environment = {}) const {
    return wait(start(arguments, environment));
  }

 private:
  std::filesystem::path root_;
};

bool contains(std::string_view text, std::string_view part);

/// Two scales, baseline and layernorm, two seeds, ten steps: 12 runs with the A/A arm.
const std::string& small_suite();

/// `text` with the first `from` replaced, which must be there.
std::string with(std::string text, std::string_view from, std::string_view to);

}  // namespace isoloss
