#include "tools/common/program.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "kernels/core/error.h"
#include "tools/common/processor.h"

namespace isoloss {

namespace {
volatile std::sig_atomic_t signal_seen = 0;
bool quiet_flag = false;
constexpr int kBarWidth = 24;  // columns

void on_signal(int number) {
  if (signal_seen != 0) {  // asked twice: do not wait for the step
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  signal_seen = 1;
}

bool wants_colour(bool terminal) {
  const char* no_colour = std::getenv("NO_COLOR");
  return terminal && (no_colour == nullptr || *no_colour == '\0');
}

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 80;
}
}  // namespace

bool interrupted() { return signal_seen != 0; }
bool quiet() { return quiet_flag; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) != 0; }
bool stdout_has_colour() { return wants_colour(stdout_is_terminal()); }
bool stderr_has_colour() { return wants_colour(stderr_is_terminal()); }

void say(std::string_view line) {
  if (!quiet_flag) fmt::print(stderr, "{}\n", line);
}
void warn(std::string_view line) { fmt::print(stderr, "warning: {}\n", line); }

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return value < 0 && digits != "0" ? "-" + digits : digits;
}

std::string progress_bar(double fraction) {
  const int full = std::clamp(static_cast<int>(std::lround(fraction * kBarWidth)), 0, kBarWidth);
  std::string bar;
  for (int i = 0; i < kBarWidth; ++i) bar += i < full ? "━" : "·";
  return bar;
}

Progress::Progress() : start_(now_seconds()) {}
Progress::~Progress() { finish(); }

void Progress::update(double done, double total, std::string_view text) {
  if (quiet_flag) return;
  const double now = now_seconds();
  if (first_done_ < 0) first_done_ = done, start_ = now;
  const bool terminal = stderr_is_terminal();
  const bool last = total > 0 && done >= total;
  if (now - last_ < (terminal ? 0.1 : 5.0) && !last) return;
  last_ = now;
  const double fraction = total > 0 ? done / total : 0;
  const std::string percent = total > 0 ? fmt::format("{:5.1f}%  ", 100 * fraction) : "";
  std::string left;
  if (done > first_done_ && done < total) {
    left = "  " + duration_text((now - start_) / (done - first_done_) * (total - done)) + " left";
  }
  if (!terminal) {
    fmt::print(stderr, "{}{}{}\n", percent, text, left);
    return;
  }
  std::string rest = fmt::format(" {}{}{}", percent, text, left);
  const auto room = static_cast<std::size_t>(std::max(0, terminal_width() - kBarWidth - 1));
  if (rest.size() > room) rest.resize(room);
  fmt::print(stderr, "\r\x1b[K{}{}", progress_bar(fraction), rest);
  std::fflush(stderr);
  shown_ = true;
}

void Progress::finish() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
}

int run_program(int argc, char** argv, std::string_view name, std::string_view description, std::string_view example,
                const std::function<void(CLI::App&)>& setup, const std::function<int()>& body) {
  watch_instructions();
  CLI::App app{std::string(description), std::string(name)};
  app.footer("Example:\n  " + std::string(example));
  app.set_version_flag("--version", std::string(name) + " (isoloss) " ISOLOSS_VERSION);
  app.add_flag("--quiet", quiet_flag, "Only results and errors");
  try {
    setup(app);
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& success) {
      return app.exit(success);  // --help and --version
    } catch (const CLI::ParseError& wrong) {
      fmt::print(stderr, "error: [{}] {}; see {} --help\n", name, wrong.what(), name);
      return 2;
    }
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    std::signal(SIGPIPE, SIG_IGN);
    const int code = body();
    if (std::fflush(stdout) != 0) fail_run("standard output", "room to write the result", "a write error");
    return code;
  } catch (const Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: [{}] expected enough memory, got an allocation that failed\n", name);
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: [{}] expected no failure, got {}\n", name, error.what());
    return 1;
  }
}

}  // namespace isoloss
