// A `train` process that this program has started.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/file_lock.h"

namespace isoloss {

/// Runs a command with its output going to a file. The child lives in a process group of its own, so that a
/// Ctrl-C reaches it once, through `stop`, and is told to stop when this process dies.
class Child {
 public:
  /// `output` is emptied first. The child gets the folder that `lock` holds: whoever else would start a run there is
  /// turned away until the child has ended, even after this process was killed and while the child still writes a
  /// checkpoint. Throws (exit 1) when nothing can be started.
  Child(const std::vector<std::string>& command, const std::filesystem::path& output, FolderLock& lock);
  ~Child();  ///< stops a child that is still alive, and waits until it has left
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The exit code once it has ended (128 + number after a signal), else nothing. Never waits.
  std::optional<int> poll();
  /// SIGTERM, once: finish the step, write a checkpoint, leave.
  void stop();

 private:
  pid_t process_ = -1;
  bool stopping_ = false;
};

}  // namespace isoloss
