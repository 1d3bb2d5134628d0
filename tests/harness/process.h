// Runs a program of the build as a user would, with the accidents a user's machine can have.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace isoloss::test {

struct ProcessOptions {
  std::string input;             ///< standard input
  std::uint64_t file_bytes = 0;  ///< > 0: no file may grow beyond this, as on a full disk
  /// Sent as soon as `signal_when` holds, which is asked every millisecond, unless the program has ended.
  int signal = 0;
  std::function<bool()> signal_when;
};

struct ProcessResult {
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;
  std::string out, err;
};

/// The full path of a program of this build.
std::string program(const std::string& name);

/// Runs to the end. The first element is the path of the program.
ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

/// True when `messages` ends with the one error of the program, exactly one line "error: [where] expected X, got Y".
bool ends_with_one_error(const std::string& messages);

}  // namespace isoloss::test
