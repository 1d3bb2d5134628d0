#include "tools/common/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <new>
#include <system_error>

#include "kernels/base/error.h"
#include "kernels/base/lost_map.h"
#include "tools/common/processor.h"
#include "tools/common/usage.h"
#include "tools/common/version.h"

namespace isoloss {

namespace {
/// When the first signal arrived, in nanoseconds of the monotonic clock; 0: none did.
std::atomic<std::int64_t> first_signal = 0;
static_assert(std::atomic<std::int64_t>::is_always_lock_free);
bool quiet_flag = false;

/// One wish to stop can arrive several times: a job's processes get it from the scheduler and from their parents, some
/// milliseconds apart. Nobody presses a key again so soon because nothing happened.
constexpr std::int64_t kSameSignal = 1'000'000'000;

void on_signal(int number, siginfo_t* info, void*) {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  const std::int64_t now = std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  std::int64_t first = 0;
  if (first_signal.compare_exchange_strong(first, now) || now - first < kSameSignal) return;
  if (info->si_code == SI_QUEUE) return;  // a parent passes on, maybe late, what reached this process as well
  std::signal(number, SIG_DFL);           // asked twice: do not wait for the step
  std::raise(number);
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

/// A stream that the caller closed must not become the first file that the program opens. Results then fail to be
/// written, as they should; messages go nowhere.
void open_missing_streams() {
  const char* const instead[] = {"/dev/null", "/dev/full", "/dev/null"};
  for (int stream = 0; stream < 3; ++stream) {  // in order: open() takes the smallest number that is free
    if (::fcntl(stream, F_GETFD) < 0) ::open(instead[stream], stream == STDIN_FILENO ? O_RDONLY : O_WRONLY);
  }
}

/// Throws when something that was printed did not arrive.
void flush_results() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  fail_run("standard output", "room to write the result", errno != 0 ? std::strerror(errno) : "a write error");
}

/// Whether a path was wrong, and not the disk.
bool leads_nowhere(const std::error_code& code) {
  using enum std::errc;
  return code == too_many_symbolic_link_levels || code == filename_too_long || code == not_a_directory ||
         code == permission_denied;
}

void report_error(std::string_view message) { write_message(fmt::format("error: {}\n", printable(message))); }
}  // namespace

bool interrupted() { return first_signal != 0; }
void leave_when_interrupted() {
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { ::_exit(kInterrupted); });
}
bool quiet() { return quiet_flag; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) != 0; }
bool stdout_has_colour() { return wants_colour(stdout_is_terminal()); }
bool stderr_has_colour() { return wants_colour(stderr_is_terminal()); }

void say(std::string_view line) {
  if (!quiet_flag) write_message(fmt::format("{}\n", printable(line)));
}
void warn(std::string_view line) { write_message(fmt::format("warning: {}\n", printable(line))); }
void write_message(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

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

std::string progress_bar(double fraction, int width) {
  const int full = std::clamp(static_cast<int>(std::lround(fraction * width)), 0, width);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "━" : "·";
  return bar;
}

std::string progress_line(double fraction, std::string_view percent, std::string_view text, std::string_view left,
                          int width) {
  const auto room = static_cast<std::size_t>(std::max(width, 0));
  const std::string front = fmt::format(" {}", percent), back = left.empty() ? "" : fmt::format("  {}", left);
  const std::size_t fixed = front.size() + back.size();
  const std::string_view shown = text.substr(0, room > fixed ? room - fixed : 0);
  const auto bar = static_cast<int>(std::min<std::size_t>(kBarWidth, room - std::min(room, fixed + shown.size())));
  return fmt::format("{}{}{}{}", progress_bar(fraction, bar), front, shown, back);
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
    left = duration_text((now - start_) / (done - first_done_) * (total - done)) + " left";
  }
  if (!terminal) {
    write_message(fmt::format("{}{}{}{}\n", percent, text, left.empty() ? "" : "  ", left));
    return;
  }
  write_message("\r\x1b[K" + progress_line(fraction, percent, text, left, terminal_width() - 1));
  shown_ = true;
}

void Progress::finish() {
  if (shown_) write_message("\r\x1b[K");
  shown_ = false;
}

int run_program(int argc, char** argv, std::string_view name, std::string_view description, std::string_view example,
                const std::function<void(CLI::App&)>& setup, const std::function<int()>& body) {
  watch_instructions();
  watch_mapped_files();
  CLI::App app{std::string(description), std::string(name)};
  app.footer("Example:\n  " + std::string(example));
  app.set_version_flag("--version", version_text(name));
  app.add_flag("--quiet", quiet_flag, "Only results and errors");
  open_missing_streams();
  try {
    setup(app);
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& success) {
      app.exit(success);  // --help and --version
      flush_results();
      return 0;
    } catch (const CLI::ParseError& wrong) {
      fail_usage(name, wrong);
    }
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    for (const int number : {SIGINT, SIGTERM}) ::sigaction(number, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    const int code = body();
    flush_results();
    return code;
  } catch (const Error& error) {
    report_error(error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    report_error(fmt::format("[{}] expected enough memory, got an allocation that failed", name));
  } catch (const std::filesystem::filesystem_error& error) {
    report_error(fmt::format("[{}] expected a path that can be followed, got {}", error.path1().string(),
                             error.code().message()));
    return leads_nowhere(error.code()) ? 2 : 1;
  } catch (const std::system_error& error) {
    // fmt::print throws this when the stream takes no more.
    report_error(std::ferror(stdout) != 0 ? fmt::format("[standard output] expected room to write the result, got {}",
                                                        error.code().message())
                                          : fmt::format("[{}] expected no failure, got {}", name, error.what()));
  } catch (const std::exception& error) {
    report_error(fmt::format("[{}] expected no failure, got {}", name, error.what()));
  }
  return 1;
}

}  // namespace isoloss
