#include "engine/memory_limit.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>

#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

std::string text_in(const fs::path& path) {
  try {
    return read_file(path);
  } catch (const Error&) {
    return {};
  }
}

/// Nothing for "max", and where there is no such file.
std::optional<std::size_t> number_in(const fs::path& path) {
  const std::string text = text_in(path);
  std::size_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && stop != text.data() ? std::optional(number) : std::nullopt;
}

std::size_t sum(std::size_t a, std::size_t b) { return a > kNone - b ? kNone : a + b; }

/// What one control group lets its processes have, in memory and in `swap` bytes of swap space.
MemoryLimit limit_of_group(const fs::path& group, std::size_t swap) {
  if (const auto memory = number_in(group / "memory.max")) {
    return {sum(*memory, std::min(number_in(group / "memory.swap.max").value_or(kNone), swap)), "memory.max"};
  }
  const auto memory = number_in(group / "memory.limit_in_bytes");
  const auto both = number_in(group / "memory.memsw.limit_in_bytes");
  return {std::min(memory ? sum(*memory, swap) : kNone, both.value_or(kNone)), "memory.limit_in_bytes"};
}

/// The folders that hold a control group of this process and the groups around it. Each line of /proc/self/cgroup is
/// NUMBER:CONTROLLERS:PATH, with 0 and no controllers in version 2. Where a container shows another PATH than it
/// mounts, its own group is the outermost folder.
template <class Visit>
void for_each_group(const fs::path& root, const Visit& visit) {
  std::istringstream lines(text_in(root / "proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool second_version = controllers == ",,";
    if (!second_version && controllers.find(",memory,") == std::string::npos) continue;
    const fs::path top = root / (second_version ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    fs::path inside = fs::path(line.substr(second + 1)).lexically_normal().relative_path();
    for (; !inside.empty(); inside = inside.parent_path()) visit(top / inside);
    visit(top);
  }
}

}  // namespace

MemoryLimit memory_limit(const fs::path& root) {
  MemoryLimit limit{kNone, "this machine"};
  std::size_t swap = 0;
  struct sysinfo info {};
  if (::sysinfo(&info) == 0) {
    swap = std::size_t{info.totalswap} * info.mem_unit;
    limit.bytes = std::size_t{info.totalram} * info.mem_unit + swap;
  }
  for_each_group(root, [&](const fs::path& group) {
    const MemoryLimit found = limit_of_group(group, swap);
    if (found.bytes < limit.bytes) limit = {found.bytes, "this process's control group (" + found.of + ")"};
  });
  struct rlimit space {};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY && space.rlim_cur < limit.bytes) {
    limit = {static_cast<std::size_t>(space.rlim_cur), "this process (ulimit -v)"};
  }
  return limit;
}

}  // namespace isoloss
