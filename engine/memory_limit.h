// How much memory this process may have: a machine's is not its own in a container, in a batch job or under a limit.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace isoloss {

struct MemoryLimit {
  std::size_t bytes = 0;  ///< used or not
  std::string of;         ///< whose limit that is, for people: "this machine"
};

/// The smallest of what holds for this process: memory and swap space of the machine, the limits of its control groups
/// (cgroup version 1 and 2) and of their parents, and its limit of address space (ulimit -v). What cannot be read
/// limits nothing. `root` holds the folders proc and sys.
MemoryLimit memory_limit(const std::filesystem::path& root = "/");

}  // namespace isoloss
