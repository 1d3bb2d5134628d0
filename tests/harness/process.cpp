#include "tests/harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <regex>
#include <stdexcept>
#include <utility>

namespace isoloss::test {

namespace {
struct Pipe {
  int ends[2];
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  }
};

[[noreturn]] void become(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  if (options.file_bytes > 0) {
    const rlimit limit{options.file_bytes, options.file_bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);  // writes then fail with an error, as they do on a full disk
  }
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}
}  // namespace

std::string program(const std::string& name) { return std::string(ISOLOSS_BIN_DIR) + "/" + name; }

ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  Pipe in, out, err;
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    ::dup2(in.ends[0], 0), ::dup2(out.ends[1], 1), ::dup2(err.ends[1], 2);
    become(arguments, options);
  }
  ::close(in.ends[0]), ::close(out.ends[1]), ::close(err.ends[1]);
  std::signal(SIGPIPE, SIG_IGN);

  ProcessResult result;
  bool signalled = options.signal == 0;
  std::size_t sent = 0;
  if (options.input.empty()) ::close(std::exchange(in.ends[1], -1));
  pollfd polled[3] = {{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}, {in.ends[1], POLLOUT, 0}};
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    if (!signalled && options.signal_when()) ::kill(child, options.signal), signalled = true;
    ::poll(polled, 3, signalled ? 1000 : 1);
    for (int i = 0; i < 2; ++i) {
      if (polled[i].fd < 0 || (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      char block[1 << 14];
      const ssize_t got = ::read(polled[i].fd, block, sizeof block);
      if (got <= 0) {
        polled[i].fd = -1;
      } else {
        (i == 0 ? result.out : result.err).append(block, static_cast<std::size_t>(got));
      }
    }
    if (polled[2].fd >= 0 && (polled[2].revents & (POLLOUT | POLLERR)) != 0) {
      const ssize_t put = ::write(polled[2].fd, options.input.data() + sent, options.input.size() - sent);
      if (put > 0) sent += static_cast<std::size_t>(put);
      if (put <= 0 || sent == options.input.size()) ::close(in.ends[1]), polled[2].fd = -1;
    }
  }
  ::close(out.ends[0]), ::close(err.ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

bool ends_with_one_error(const std::string& messages) {
  static const std::regex pattern("(?:(?!error: )[^\\n]*\\n)*error: \\[[^\\n]+\\] expected [^\\n]+, got [^\\n]*\\n");
  return std::regex_match(messages, pattern);
}

}  // namespace isoloss::test
