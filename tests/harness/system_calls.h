// What a test program asks of the disk, in the order in which it asks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace isoloss::test {

struct SystemCall {
  std::string name;  ///< create (a file or a folder), write, fsync, rename, remove
  std::filesystem::path path, to;
};

/// Records the calls of this program while it lives. A program that links system_calls.cpp brings its own open, mkdir,
/// write, fsync, rename, renameat2 (absolute paths only), remove and unlinkat, which the whole program then uses: they
/// record, and pass the call on to the kernel.
class SystemCalls {
 public:
  SystemCalls();
  ~SystemCalls();
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;
  const std::vector<SystemCall>& all() const { return calls_; }

 private:
  std::vector<SystemCall> calls_;
};

}  // namespace isoloss::test
