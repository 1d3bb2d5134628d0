#include "tests/harness/system_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int unlinkat(int folder, const char* name, int flags) noexcept {
  if (recorder != nullptr) {
    recorder->push_back({"remove", (folder == AT_FDCWD ? std::filesystem::path() : path_of(folder)) / name, {}});
  }
  return static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
}

}  // extern "C"
