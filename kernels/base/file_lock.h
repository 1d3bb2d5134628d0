// A folder held by one process at a time, on one host or on several that share a file system.
//
// Two files in the folder say so. `run.lock` carries the operating system's lock (flock), which ends with its holder,
// however that ends. `run.holder` says who that is. Where flock is missing, or may keep out the processes of this host
// only (NFS with local locks, Lustre mounted without `flock`, file systems that are not known here), `run.holder` is
// the lock, too: it is made exclusively. A holder of this host that is gone is told by its process id and start time,
// and its file is taken over. Only processes that share its process numbers can tell that, so they take over one at a
// time by a lock of the kernel that they all run on, which leaves nothing behind. One of another host cannot be seen
// from here: its file is never taken because time has passed.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string_view>

namespace isoloss {

/// What a lock asks the system. Tests put another one in its place.
struct LockSystem {
  std::function<int(int descriptor)> flock;       ///< exclusive, without waiting: 0, or the number of the error
  std::function<bool(int descriptor)> is_shared;  ///< whether flock is known to reach every host that sees the file
  std::function<int()> lock_numbers;  ///< the lock of those who share this process's numbers: until closed; -1: taken
};
LockSystem lock_system();

/// Whether a mounted file system hands flock to its server, by its type and its options in /proc/self/mountinfo.
bool asks_server(const std::string& type, const std::string& options);

struct LockOptions {
  double wait_seconds = 0;                                               ///< for a holder that is about to leave
  std::function<bool()> give_up = [] { return false; };                  ///< asked while waiting
  std::function<void(std::string_view)> warn = [](std::string_view) {};  ///< told in one line that there is no flock
  LockSystem system = lock_system();
};

class FolderLock {
 public:
  /// Makes the folder where it is missing. Throws (exit 1), naming the holder's host, process and start, when another
  /// process holds the folder. A process that was given the folder (below) finds it held for itself.
  explicit FolderLock(const std::filesystem::path& folder, const LockOptions& options = {});
  /// Lets go; a folder that was made for the lock and got nothing else is removed.
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// To be kept open by the process that gets the folder.
  int descriptor() const { return descriptor_; }
  /// The folder is there for the lock alone: it goes with it, as one that was made for it does.
  void take_folder() { made_folder_ = true; }
  /// From now on the folder is held for a child of this process, which has inherited descriptor().
  void give_to(pid_t child);

 private:
  std::filesystem::path folder_;
  int descriptor_ = -1;
  bool made_folder_ = false;
  bool owned_ = false;  ///< `run.holder` names this process
};

}  // namespace isoloss
