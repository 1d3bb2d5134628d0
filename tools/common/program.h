// What every program shares: the frame around main (errors to one line and an exit code), signals, terminal style.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace isoloss {

/// Runs `body(app)` inside the contract all programs keep: `--help`, `--version`, `--quiet`; an `Error` becomes
/// `error: …` on stderr and its exit code; wrong usage 2; any other exception 1; interruption 130.
/// `setup` adds options to the app before parsing; `body` returns the exit code.
int run_program(int argc, char** argv, std::string_view name, std::string_view description, std::string_view example,
                const std::function<void(CLI::App&)>& setup, const std::function<int()>& body);

/// True once SIGINT or SIGTERM has arrived (handlers are installed by run_program). Loops poll it, finish their step,
/// and return kInterrupted. A second signal kills at once, but for one within a second of the first: that is the same
/// one, by another way.
bool interrupted();
/// From here on a signal ends the program at once, with the same code: where it only waits for input, or computes what
/// can be computed again.
void leave_when_interrupted();
inline constexpr int kInterrupted = 130;

/// Messages for people, on stderr; dropped with --quiet. A stderr that takes none (a full disk, a reader that left)
/// stops no program: it is the results that count. say() and warn() write what is printable (kernels/base/error.h).
bool quiet();
void say(std::string_view line);
void warn(std::string_view line);           ///< `warning: …`, shown with --quiet too
void write_message(std::string_view text);  ///< as it is, shown with --quiet too

/// Cursor movement is used only when the stream is a terminal, colour only when NO_COLOR is unset besides.
bool stdout_is_terminal();
bool stderr_is_terminal();
bool stdout_has_colour();
bool stderr_has_colour();

inline constexpr int kBarWidth = 24;  ///< columns
/// A bar full to `fraction` (0 to 1).
std::string progress_bar(double fraction, int width = kBarWidth);
/// A line of at most `width` columns: bar, percent, `text`, time left (either may be empty). Where room is short, first
/// the bar gives way, then the end of the text; the time left stays.
std::string progress_line(double fraction, std::string_view percent, std::string_view text, std::string_view left,
                          int width);

/// One line that rewrites itself on a terminal and is a plain line every few seconds when piped.
class Progress {
 public:
  Progress();
  ~Progress();
  /// `done` of `total` (0: unknown, as for a pipe), and a text such as "loss 3.21  1,234 tok/s". Adds bar, percent and
  /// time left where there is a total.
  void update(double done, double total, std::string_view text);
  void finish();  ///< clears the bar; later lines start clean

 private:
  double start_, last_ = -1e9;
  double first_done_ = -1;
  bool shown_ = false;
};

/// Seconds of a monotonic clock.
double now_seconds();
/// "3 s", "2 min 05 s", "1 h 07 min".
std::string duration_text(double seconds);
/// 1234567 -> "1,234,567".
std::string grouped(double value);

}  // namespace isoloss
