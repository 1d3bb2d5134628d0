// What all programs share on a terminal.
#include "tools/common/program.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

namespace isoloss {

namespace {
int columns(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}
}  // namespace

TEST_CASE("a progress line fits the terminal and keeps the time left") {
  const std::string text = "step 578/600  loss 3.1688  val 3.1244  107,707 tok/s", left = "12 min 05 s left";
  for (int width = 0; width <= 200; ++width) {
    CAPTURE(width);
    const std::string line = progress_line(0.963, " 96.3%  ", text, left, width);
    const int least = 1 + 8 + 2 + static_cast<int>(left.size());  // what is never cut
    CHECK(columns(line) <= std::max(width, least));
    CHECK(line.ends_with(left));
  }
  const std::string usual = progress_line(0.963, " 96.3%  ", text, left, 79);
  CHECK(columns(usual) == 79);
  CHECK(usual.find(text) != std::string::npos);  // it is the bar that gives way first
  const std::string wide = progress_line(0.5, " 50.0%  ", text, "", 200);
  CHECK(wide.starts_with(progress_bar(0.5)));
  CHECK(columns(progress_bar(0.5)) == kBarWidth);
}

TEST_CASE("the first signal is a wish to stop, one a moment later is the same, a later one ends at once") {
  /// What becomes of a program that sends itself signals, each after a pause of so many milliseconds.
  const auto fate = [](std::initializer_list<int> pauses) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      std::string name = "program";
      char* arguments[] = {name.data(), nullptr};
      ::_exit(run_program(
          1, arguments, name, "", "", [](CLI::App&) {},
          [&] {
            int number = SIGTERM;
            for (const int pause : pauses) {
              ::usleep(static_cast<useconds_t>(pause) * 1000);
              std::raise(std::exchange(number, SIGINT));
            }
            return interrupted() ? kInterrupted : 0;
          }));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  };
  CHECK(fate({}) == 0);
  CHECK(fate({0}) == kInterrupted);
  CHECK(fate({0, 0, 10, 0}) == kInterrupted);
  CHECK(fate({0, 1010}) == -SIGINT);
}

}  // namespace isoloss
