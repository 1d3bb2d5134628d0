// Errors that reach the user: one line, `[where] expected X, got Y`, and the exit code that goes with it.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace isoloss {

/// `text` as one line of valid UTF-8 that moves no cursor: control characters and bytes that are no UTF-8 become
/// `\xNN`. Messages quote file names and damaged files.
std::string printable(std::string_view text);

/// Base of everything this project throws on purpose. `what()` is the whole line without the leading "error: ",
/// printable, and with the middle cut out of what is too long for a line.
class Error : public std::runtime_error {
 public:
  Error(std::string_view message, int exit_code);
  int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

/// Wrong usage, configuration or input file: exit code 2. `where` is the option, the key, the file (with its line or
/// byte offset) or the op.
[[noreturn]] void fail_input(std::string_view where, std::string_view expected, std::string_view got);

/// Anything that failed while running (disk, device, diverged): exit code 1.
[[noreturn]] void fail_run(std::string_view where, std::string_view expected, std::string_view got);

}  // namespace isoloss
