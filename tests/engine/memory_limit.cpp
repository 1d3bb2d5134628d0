#include "engine/memory_limit.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace {

std::size_t swap_space() {
  struct sysinfo info {};
  return ::sysinfo(&info) == 0 ? std::size_t{info.totalswap} * info.mem_unit : 0;
}

}  // namespace

TEST_CASE("without control groups the machine is the limit, and so it is where they allow more than there is") {
  const TemporaryFolder root;
  const MemoryLimit machine = memory_limit(root.path());
  CHECK(machine.of == "this machine");
  CHECK(machine.bytes > (std::size_t{1} << 26));
  put_file(root / "proc/self/cgroup", "0::/job\n9:memory:/job\nno line of that file\n");
  for (const char* text : {"max\n", "9223372036854771712\n", "99999999999999999999999\n", "", "?\n"}) {
    put_file(root / "sys/fs/cgroup/job/memory.max", text);
    put_file(root / "sys/fs/cgroup/memory/job/memory.limit_in_bytes", text);
    CHECK(memory_limit(root.path()).bytes == machine.bytes);
  }
}

TEST_CASE("cgroup version 2: the smallest limit of the group and of those around it, with the swap space it may use") {
  const TemporaryFolder root;
  put_file(root / "proc/self/cgroup", "0::/slice/job\n");
  put_file(root / "sys/fs/cgroup/slice/job/memory.max", "8388608\n");
  put_file(root / "sys/fs/cgroup/slice/job/memory.swap.max", "0\n");
  CHECK(memory_limit(root.path()).bytes == 8388608);
  CHECK(memory_limit(root.path()).of == "this process's control group (memory.max)");
  put_file(root / "sys/fs/cgroup/slice/memory.max", "4194304\n");
  CHECK(memory_limit(root.path()).bytes == std::min<std::size_t>(8388608, 4194304 + swap_space()));
  put_file(root / "sys/fs/cgroup/slice/memory.swap.max", "0\n");
  CHECK(memory_limit(root.path()).bytes == 4194304);
  put_file(root / "sys/fs/cgroup/memory.max", "2097152\n");  // as a container sees its own group
  put_file(root / "sys/fs/cgroup/memory.swap.max", "0\n");
  for (const char* line : {"0::/slice/job\n", "0::/\n", "0::/../../elsewhere\n"}) {
    put_file(root / "proc/self/cgroup", line);
    CHECK(memory_limit(root.path()).bytes == 2097152);
  }
}

TEST_CASE("cgroup version 1: memory, and memory with swap space") {
  const TemporaryFolder root;
  put_file(root / "proc/self/cgroup", "5:cpu,cpuacct:/job\n4:hugetlb,memory:/docker/1f\n0::/\n");
  put_file(root / "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes", "8388608\n");
  CHECK(memory_limit(root.path()).bytes == 8388608 + swap_space());
  put_file(root / "sys/fs/cgroup/memory/docker/1f/memory.memsw.limit_in_bytes", "8388608\n");
  CHECK(memory_limit(root.path()).bytes == 8388608);
  CHECK(memory_limit(root.path()).of == "this process's control group (memory.limit_in_bytes)");
  put_file(root / "sys/fs/cgroup/job/memory.max", "1\n");  // the group of another controller
  CHECK(memory_limit(root.path()).bytes == 8388608);
}

TEST_CASE("a limit of address space counts") {
  const TemporaryFolder root;
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit space{.rlim_cur = 12345678, .rlim_max = RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &space);
    struct rlimit found {};
    ::getrlimit(RLIMIT_AS, &found);
    const MemoryLimit limit = memory_limit(root.path());
    ::_exit(found.rlim_cur == 12345678 && limit.bytes == 12345678 && limit.of == "this process (ulimit -v)" ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
