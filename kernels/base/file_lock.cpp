#include "kernels/base/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <sstream>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/lock_holder.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLock = "run.lock";
constexpr const char* kHolder = "run.holder";

/// Open until it is closed or released.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

int open_lock(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) fail_run(path.string(), "a writable file", std::strerror(errno));
  return descriptor;
}

int flock_once(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

/// File systems that no second host mounts, by their numbers in statfs(2).
bool is_local(int descriptor) {
  constexpr std::array<unsigned long, 8> local = {
      0xEF53 /*ext*/,         0x58465342 /*xfs*/, 0x9123683E /*btrfs*/, 0x01021994 /*tmpfs*/,
      0x794C7630 /*overlay*/, 0x2FC12FC1 /*zfs*/, 0xF2F52010 /*f2fs*/,  0x858458F6 /*ramfs*/};
  struct statfs status {};
  return ::fstatfs(descriptor, &status) == 0 &&
         std::ranges::find(local, static_cast<unsigned long>(status.f_type)) != local.end();
}

bool reaches_all_hosts(int descriptor) {
  if (is_local(descriptor)) return true;
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return false;
  const std::string device = fmt::format("{}:{}", major(status.st_dev), minor(status.st_dev));
  // Each line: id, parent, MAJOR:MINOR, root, mount point, options, optional fields, "-", type, source, options.
  std::istringstream mounts(read_file("/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string word, type, source, options;
    words >> word >> word >> word;
    if (word != device) continue;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    return asks_server(type, options);
  }
  return false;
}

std::optional<LockHolder> read_holder(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  try {
    return holder_from(read_file(path));
  } catch (const Error&) {
    return std::nullopt;  // gone since
  }
}

/// True when the file was not there and now holds `text`.
bool create_exclusively(const fs::path& path, const std::string& text) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0 && errno == EEXIST) return false;
  if (descriptor < 0) fail_run(path.string(), "a writable file", std::strerror(errno));
  const bool written = ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(descriptor);
  if (written) return true;
  ::unlink(path.c_str());
  fail_run(path.string(), "room to write the file", std::strerror(error));
}

/// The kernel's lock on the namespace that numbers this process: no file system has to know it, and it ends with its
/// process. -1 where another process has it, or the system lacks it.
int lock_process_numbers() {
  Descriptor numbers(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  return numbers.get() >= 0 && flock_once(numbers.get()) == 0 ? numbers.release() : -1;
}

/// Replaces the file of a holder that is gone, unless another process was quicker. Whoever may replace it sees the same
/// process numbers, so one lock keeps all of them apart.
bool take_over(const fs::path& folder, const LockHolder& gone, const LockHolder& self, const LockSystem& system) {
  const Descriptor lock(system.lock_numbers());
  if (lock.get() < 0) return false;
  const auto now = read_holder(folder / kHolder);  // again, now that nobody else replaces it
  const bool still = now && now->is_process_of(gone);
  if (still) write_file_atomically(folder / kHolder, to_text(self));
  return still;
}

struct Attempt {
  bool held = false;
  bool removed = false;              ///< the file was removed by its last holder after it was opened here
  bool by_file = false;              ///< `run.holder` alone decided
  std::optional<LockHolder> holder;  ///< of whoever holds the folder, where that is known
  std::string missing;               ///< why there is no flock, "" where there is
};

/// One try on the open `run.lock`.
Attempt attempt(const fs::path& folder, int descriptor, const LockSystem& system) {
  Attempt result;
  const LockHolder self = holder_of(::getpid());
  const int error = system.flock(descriptor);
  struct stat status {};
  result.removed = error == 0 && ::fstat(descriptor, &status) == 0 && status.st_nlink == 0;
  if (result.removed) return result;
  result.holder = read_holder(folder / kHolder);
  if (result.holder && result.holder->given && result.holder->is_process_of(self)) {
    write_file_atomically(folder / kHolder, to_text(self));
    result.held = true;
    return result;
  }
  if (error == EWOULDBLOCK) return result;
  if (error == 0 && system.is_shared(descriptor)) {
    write_file_atomically(folder / kHolder, to_text(self));
    result.held = true;
    return result;
  }
  if (error != 0) result.missing = std::strerror(error);
  result.by_file = true;
  if (create_exclusively(folder / kHolder, to_text(self))) {
    result.held = true;
  } else if (result.holder && presence_of(*result.holder) == Presence::gone) {
    result.held = take_over(folder, *result.holder, self, system);
  }
  return result;
}

std::string text_of(const Attempt& attempt, const fs::path& folder) {
  std::string text = "one in which another process works";
  if (attempt.holder) {
    text = fmt::format("one in which process {} on {} works since {}", attempt.holder->process, attempt.holder->host,
                       attempt.holder->since);
  }
  if (attempt.by_file) text += fmt::format("; if that process is gone, remove {}", (folder / kHolder).string());
  return text;
}

/// True when nothing but the lock is in the folder.
bool is_bare(const fs::path& folder) {
  std::error_code ignored;
  return std::ranges::all_of(fs::directory_iterator(folder, ignored),
                             [](const fs::directory_entry& entry) { return entry.path().filename() == kLock; });
}

}  // namespace

bool asks_server(const std::string& type, const std::string& options) {
  const auto has = [&options](std::string_view option) {
    return ("," + options + ",").find(fmt::format(",{},", option)) != std::string::npos;
  };
  if (type == "nfs" || type == "nfs4") return !has("nolock") && !has("local_lock=all") && !has("local_lock=flock");
  if (type == "lustre") return has("flock");
  return type == "ceph" || type == "gpfs";
}

LockSystem lock_system() { return {flock_once, reaches_all_hosts, lock_process_numbers}; }

FolderLock::FolderLock(const fs::path& folder, const LockOptions& options) : folder_(folder) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(options.wait_seconds);
  for (bool told = false;;) {
    std::error_code problem;  // inside the loop: a holder that leaves may remove the folder
    made_folder_ = fs::create_directories(folder, problem) || made_folder_;
    if (problem) fail_run(folder.string(), "a folder that can be made", problem.message());
    Descriptor file(open_lock(folder / kLock));
    const Attempt tried = attempt(folder, file.get(), options.system);
    if (!tried.missing.empty() && !std::exchange(told, true)) {
      options.warn(fmt::format("{}: the file system has no locks ({}); the file {} keeps other processes out",
                               folder.string(), tried.missing, kHolder));
    }
    if (tried.held) {
      descriptor_ = file.release();
      owned_ = true;
      return;
    }
    if (tried.removed) continue;
    if (Clock::now() >= end || options.give_up()) {
      fail_run(folder.string(), "a folder in which nothing runs", text_of(tried, folder));
    }
    ::usleep(50'000);
  }
}

FolderLock::~FolderLock() {
  if (descriptor_ < 0) return;
  if (owned_) {
    const auto holder = read_holder(folder_ / kHolder);
    if (holder && holder->is_process_of(holder_of(::getpid()))) ::unlink((folder_ / kHolder).c_str());
    if (made_folder_ && is_bare(folder_)) {
      ::unlink((folder_ / kLock).c_str());
      ::rmdir(folder_.c_str());
    }
  }
  ::close(descriptor_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : folder_(std::move(other.folder_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      made_folder_(other.made_folder_),
      owned_(other.owned_) {}

void FolderLock::give_to(pid_t child) {
  LockHolder holder = holder_of(child);
  holder.given = true;
  write_file_atomically(folder_ / kHolder, to_text(holder));
  owned_ = false;
}

}  // namespace isoloss
