#include "kernels/base/lock_holder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <ctime>
#include <map>

#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

/// A file of /proc without its last line end, "" where it cannot be read.
std::string system_file(const fs::path& path) {
  try {
    std::string text = read_file(path);
    if (text.ends_with('\n')) text.pop_back();
    return text;
  } catch (const Error&) {
    return {};
  }
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string process_namespace() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/ns/pid", ignored).string();
}

template <class Number>
Number number_from(std::string_view text) {
  Number value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() ? value : 0;
}

struct ProcessStat {
  char state;
  std::uint64_t start;
};

/// The third and the 22nd word of /proc/PROCESS/stat. The second is a name in parentheses that may hold any character.
std::optional<ProcessStat> stat_of(std::int64_t process) {
  const std::string text = system_file(fmt::format("/proc/{}/stat", process));
  std::size_t at = text.rfind(") ");
  if (at == std::string::npos) return std::nullopt;
  at += 2;
  const char state = text[at];
  for (int word = 3; word < 22 && at != std::string::npos; ++word) at = text.find(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t end = text.find(' ', at + 1);
  return ProcessStat{state, number_from<std::uint64_t>(std::string_view(text).substr(at + 1, end - at - 1))};
}

}  // namespace

bool LockHolder::is_process_of(const LockHolder& other) const {
  return host == other.host && boot == other.boot && processes == other.processes && process == other.process &&
         start == other.start;
}

LockHolder holder_of(pid_t process) {
  LockHolder holder;
  holder.host = host_name();
  holder.boot = system_file("/proc/sys/kernel/random/boot_id");
  holder.processes = process_namespace();
  holder.process = process;
  if (const auto stat = stat_of(process)) holder.start = stat->start;
  holder.since = fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::time(nullptr)));
  return holder;
}

Presence presence_of(const LockHolder& holder) {
  const LockHolder self = holder_of(::getpid());
  const bool same_name = holder.host == self.host;
  if (holder.boot != self.boot) return same_name ? Presence::gone : Presence::unknown;  // this host was started anew
  if (holder.boot.empty() && !same_name) return Presence::unknown;
  if (holder.processes != self.processes) return Presence::unknown;
  // Asked first, since other users' processes may be hidden in /proc.
  if (::kill(static_cast<pid_t>(holder.process), 0) != 0 && errno != EPERM) return Presence::gone;
  const auto stat = stat_of(holder.process);
  if (!stat) return Presence::here;
  const bool dead = stat->state == 'Z' || stat->state == 'X';  // ended, and only not yet waited for
  return dead || (holder.start != 0 && stat->start != holder.start) ? Presence::gone : Presence::here;
}

std::string to_text(const LockHolder& holder) {
  return fmt::format("host {}\nboot {}\nprocesses {}\nprocess {}\nstart {}\nsince {}\n{}end\n", holder.host,
                     holder.boot, holder.processes, holder.process, holder.start, holder.since,
                     holder.given ? "given yes\n" : "");
}

std::optional<LockHolder> holder_from(std::string_view text) {
  if (!text.ends_with("\nend\n")) return std::nullopt;
  std::map<std::string_view, std::string_view> values;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view line = text.substr(at, text.find('\n', at) - at);
    const std::size_t space = std::min(line.find(' '), line.size());
    values[line.substr(0, space)] = line.substr(std::min(space + 1, line.size()));
    at += line.size() + 1;
  }
  LockHolder holder;
  holder.host = values["host"];
  holder.boot = values["boot"];
  holder.processes = values["processes"];
  holder.process = number_from<std::int64_t>(values["process"]);
  holder.start = number_from<std::uint64_t>(values["start"]);
  holder.since = values["since"];
  holder.given = values.contains("given");
  return holder.process > 0 ? std::optional(holder) : std::nullopt;
}

}  // namespace isoloss
