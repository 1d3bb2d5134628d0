// Who holds a folder (file_lock.h): a process, told apart from every other, also from one that got its number later.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace isoloss {

struct LockHolder {
  std::string host;       ///< its name
  std::string boot;       ///< the kernel's name of this boot, "" where it tells none
  std::string processes;  ///< the namespace that numbers the process: a container may have its own
  std::int64_t process = 0;
  std::uint64_t start = 0;  ///< of the process, in clock ticks since the boot; 0: unknown
  std::string since;        ///< date and time for people
  bool given = false;       ///< another process took the folder for this one, which is to find it held
  bool is_process_of(const LockHolder& other) const;
};

/// A process of this host as the holder of a folder from now on.
LockHolder holder_of(pid_t process);

enum class Presence : std::uint8_t { here, gone, unknown };
/// Whether the process still runs; unknown for one of another host or container.
Presence presence_of(const LockHolder& holder);

std::string to_text(const LockHolder& holder);
/// Nothing for text that to_text has not written, or not to its end.
std::optional<LockHolder> holder_from(std::string_view text);

}  // namespace isoloss
