// A `train` process that this program has started.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace isoloss {

/// A run folder held for this process and the child it starts there, until both let go. Whoever else would start a run
/// in the same folder is turned away, even after this process was killed and while its child still writes a checkpoint.
class FolderLock {
 public:
  /// Makes the folder where it is missing. Waits up to ten seconds for another holder; then throws (exit 1).
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

/// Runs a command with its output going to a file. The child lives in a process group of its own, so that a
/// Ctrl-C reaches it once, through `stop`, and is told to stop when this process dies.
class Child {
 public:
  /// `output` is emptied first. Throws (exit 1) when nothing can be started.
  Child(const std::vector<std::string>& command, const std::filesystem::path& output, const FolderLock& lock);
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
