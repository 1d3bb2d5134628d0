#undef _FORTIFY_SOURCE  // under which the headers bring an open() of their own
#include "tests/harness/system_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace isoloss::test {

namespace {
std::vector<SystemCall>* recorder = nullptr;

std::filesystem::path path_of(int descriptor) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), ignored);
}
}  // namespace

SystemCalls::SystemCalls() { recorder = &calls_; }
SystemCalls::~SystemCalls() { recorder = nullptr; }

}  // namespace isoloss::test

using isoloss::test::path_of, isoloss::test::recorder;

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  const bool creates = recorder != nullptr && (flags & O_CREAT) != 0 && ::access(path, F_OK) != 0;
  const auto descriptor = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (creates && descriptor >= 0) recorder->push_back({"create", path, {}});
  return descriptor;
}

int mkdir(const char* path, mode_t mode) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
  if (recorder != nullptr && result == 0) recorder->push_back({"create", path, {}});
  return result;
}

ssize_t write(int descriptor, const void* data, size_t bytes) {
  if (recorder != nullptr) recorder->push_back({"write", path_of(descriptor), {}});
  return ::syscall(SYS_write, descriptor, data, bytes);
}

int fsync(int descriptor) {
  if (recorder != nullptr) recorder->push_back({"fsync", path_of(descriptor), {}});
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

int rename(const char* from, const char* to) noexcept {
  if (recorder != nullptr) recorder->push_back({"rename", from, to});
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat2(int, const char* from, int, const char* to, unsigned flags) noexcept {
  if (recorder != nullptr) recorder->push_back({"rename", from, to});
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
}

int remove(const char* path) noexcept {
  if (recorder != nullptr) recorder->push_back({"remove", path, {}});
  const auto result = static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
  if (result == 0 || errno != EISDIR) return result;
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}

int unlinkat(int folder, const char* name, int flags) noexcept {
  if (recorder != nullptr) {
    recorder->push_back({"remove", (folder == AT_FDCWD ? std::filesystem::path() : path_of(folder)) / name, {}});
  }
  return static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
}

}  // extern "C"
