#include "tools/common/lock.h"

#include <utility>

#include "tools/common/program.h"

namespace isoloss {

FolderLock lock_folder(const std::filesystem::path& folder, double wait_seconds) {
  LockOptions options;
  options.wait_seconds = wait_seconds;
  options.give_up = [] { return interrupted(); };
  options.warn = [](std::string_view line) {
    static bool warned = false;
    if (!std::exchange(warned, true)) warn(line);
  };
  return FolderLock(folder, options);
}

}  // namespace isoloss
