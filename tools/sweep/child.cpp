#include "tools/sweep/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "kernels/base/error.h"

namespace isoloss {

namespace {

int open_or_fail(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) fail_run(path.string(), "a writable file", std::strerror(errno));
  return descriptor;
}

/// In the child, between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* arguments, int output, int lock, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(130);  // the parent was gone before the line above
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGPIPE, SIG_DFL);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::fcntl(lock, F_SETFD, 0);  // stays open, and locked, in the program
  ::execv(arguments[0], arguments);
  constexpr char message[] = "error: [sweep] expected a program that can be started, got none\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message, sizeof message - 1);
  ::_exit(127);
}

}  // namespace

Child::Child(const std::vector<std::string>& command, const std::filesystem::path& output, FolderLock& lock) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int out = open_or_fail(output, O_WRONLY | O_TRUNC);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) become(arguments.data(), out, lock.descriptor(), parent);
  const int error = errno;
  ::close(out);
  if (process_ < 0) fail_run(command.front(), "a process for the run", std::strerror(error));
  try {
    lock.give_to(process_);
  } catch (...) {  // a full disk; no destructor runs for what is not made yet
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    throw;
  }
}

Child::~Child() {
  if (process_ <= 0) return;
  stop();
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
}

Child::Child(Child&& other) noexcept : process_(std::exchange(other.process_, -1)), stopping_(other.stopping_) {}

std::optional<int> Child::poll() {
  int status = 0;
  if (process_ <= 0 || ::waitpid(process_, &status, WNOHANG) != process_) return std::nullopt;
  process_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Child::stop() {
  // Queued, which tells it from the SIGTERM that a whole job gets: together they are one wish, not the second that
  // kills.
  if (process_ > 0 && !std::exchange(stopping_, true)) ::sigqueue(process_, SIGTERM, {});
}

}  // namespace isoloss
