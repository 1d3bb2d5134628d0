#include "kernels/base/file_lock.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>
#include <utility>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/base/lock_holder.h"
#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::error_of;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace fs = std::filesystem;

namespace {

/// A system without flock: the kernel answers with `error`.
LockOptions without_flock(int error, std::vector<std::string>* warnings = nullptr) {
  LockOptions options;
  options.system.flock = [error](int) { return error; };
  if (warnings != nullptr) options.warn = [warnings](std::string_view line) { warnings->emplace_back(line); };
  return options;
}

/// A flock that keeps out nobody, as two hosts see it where each locks for itself.
LockOptions with_local_flock() {
  LockOptions options;
  options.system.flock = [](int) { return 0; };
  options.system.is_shared = [](int) { return false; };
  return options;
}

std::string error_of_lock(const fs::path& folder, const LockOptions& options = {}) {
  return error_of([&] { FolderLock lock(folder, options); });
}

/// A process that has ended and was waited for.
pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

/// A child that runs `body`, its exit code afterwards.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a second process is refused and told who holds the folder; when that one is gone the folder is free") {
  const TemporaryFolder folder;
  for (const LockOptions& options : {LockOptions{}, without_flock(ENOLCK), with_local_flock()}) {
    {
      const FolderLock lock(folder / "run", options);
      const std::string error = error_of_lock(folder / "run", options);
      INFO(error);
      CHECK(error.starts_with("1 [" + (folder / "run").string() +
                              "] expected a folder in which nothing runs, got one in which process " +
                              std::to_string(::getpid()) + " on " + holder_of(::getpid()).host + " works since "));
    }
    CHECK(error_of_lock(folder / "run", options).empty());
    CHECK_FALSE(fs::exists(folder / "run"));  // made for the lock alone
  }
}

TEST_CASE("the folder and what others put there stay") {
  const TemporaryFolder folder;
  put_file(folder / "old/config.toml", "");
  {
    const FolderLock old(folder / "old"), made(folder / "new");
    put_file(folder / "new/manifest.json", "");
  }
  CHECK(fs::exists(folder / "old/config.toml"));
  CHECK(fs::exists(folder / "new/manifest.json"));
  CHECK_FALSE(fs::exists(folder / "new/run.holder"));
}

TEST_CASE("a missing flock is said, and the exclusive file holds in its place") {
  const TemporaryFolder folder;
  for (const int error : {ENOSYS, ENOLCK, EOPNOTSUPP}) {
    std::vector<std::string> warnings;
    const FolderLock lock(folder / "run", without_flock(error, &warnings));
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].find("the file system has no locks (") != std::string::npos);
    const std::string refused = error_of_lock(folder / "run", without_flock(error));
    CHECK(refused.find("; if that process is gone, remove " + (folder / "run/run.holder").string()) !=
          std::string::npos);
  }
}

TEST_CASE("a holder of this host that is gone is told by its number and its start, and followed by one process") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run");
  LockHolder dead = holder_of(::getpid()), again = dead, rebooted = dead;
  dead.process = dead_process();
  again.start -= 1;  // the number was given to another process since
  rebooted.boot = "another boot";
  for (const LockHolder& gone : {dead, again, rebooted}) {
    for (const LockOptions& options : {without_flock(ENOSYS), with_local_flock()}) {
      CHECK(presence_of(gone) == Presence::gone);
      put_file(folder / "run/run.holder", to_text(gone));
      const FolderLock lock(folder / "run", options);
      CHECK(holder_from(read_file(folder / "run/run.holder"))->is_process_of(holder_of(::getpid())));
      CHECK(error_of_lock(folder / "run", options).starts_with("1 ["));
    }
  }
}

TEST_CASE("two processes that both found the same holder gone: one of them follows it") {
  const TemporaryFolder folder;
  LockHolder gone = holder_of(::getpid());
  gone.process = dead_process();
  const LockOptions plain = without_flock(ENOSYS);

  // The second one comes while the first one is about to replace the file.
  put_file(folder / "run/run.holder", to_text(gone));
  LockOptions first = plain;
  first.system.lock_numbers = [&] {
    const int lock = plain.system.lock_numbers();
    CHECK(lock >= 0);
    CHECK(in_child([&] { return error_of_lock(folder / "run", plain).starts_with("1 [") ? 0 : 1; }) == 0);
    return lock;
  };
  CHECK(error_of_lock(folder / "run", first).empty());

  // The second one has looked before the first one followed, and goes on when it has.
  put_file(folder / "run/run.holder", to_text(gone));
  std::optional<FolderLock> quicker;
  LockOptions second = plain;
  second.system.lock_numbers = [&] {
    if (!quicker) quicker.emplace(folder / "run", plain);
    return plain.system.lock_numbers();
  };
  CHECK(error_of_lock(folder / "run", second).starts_with("1 ["));
  REQUIRE(quicker);
  CHECK(fs::exists(folder / "run/run.holder"));

  // One that was killed on the way leaves nothing that keeps others out.
  quicker.reset();
  put_file(folder / "run/run.holder", to_text(gone));
  LockOptions killed = plain;
  killed.system.lock_numbers = [&] {
    [[maybe_unused]] const int lock = plain.system.lock_numbers();
    ::_exit(9);
    return -1;
  };
  CHECK(in_child([&] { return error_of_lock(folder / "run", killed).empty() ? 0 : 1; }) == 9);
  CHECK(error_of_lock(folder / "run", plain).empty());
}

TEST_CASE("a holder of another host or container counts where flock may not reach it, however long ago it was") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run");
  LockHolder elsewhere = holder_of(::getpid()), contained = elsewhere;
  elsewhere.host = "node17", elsewhere.boot = "its boot";
  contained.processes = "pid:[1]";
  for (const LockHolder& other : {elsewhere, contained}) {
    CHECK(presence_of(other) == Presence::unknown);
    put_file(folder / "run/run.holder", to_text(other));
    fs::last_write_time(folder / "run/run.holder", fs::file_time_type::clock::now() - std::chrono::hours(1000));
    for (const LockOptions& options : {without_flock(ENOLCK), with_local_flock()}) {
      const std::string error = error_of_lock(folder / "run", options);
      CHECK(error.find(" on " + other.host + " works since ") != std::string::npos);
      CHECK(error.find("remove " + (folder / "run/run.holder").string()) != std::string::npos);
    }
    CHECK(error_of_lock(folder / "run").empty());  // the system's lock reaches everybody here, and it was free
  }
}

TEST_CASE("a holder's file that was cut counts as held without flock, and names the file") {
  const TemporaryFolder folder;
  const std::string whole = to_text(holder_of(::getpid()));
  for (const std::size_t length : {std::size_t{0}, whole.size() / 2, whole.size() - 1}) {
    put_file(folder / "run/run.holder", whole.substr(0, length));
    CHECK(error_of_lock(folder / "run", without_flock(ENOSYS)).find("another process works; if that process is gone") !=
          std::string::npos);
  }
}

TEST_CASE("a folder is given to a child, which finds it held for itself and lets go of it") {
  const TemporaryFolder folder;
  for (const LockOptions& options : {LockOptions{}, without_flock(ENOSYS)}) {
    int go[2];
    REQUIRE(::pipe(go) == 0);
    pid_t child = -1;
    {
      FolderLock lock(folder / "run", options);
      put_file(folder / "run/manifest.json", "");
      child = ::fork();
      if (child == 0) {  // as after exec: the descriptor is open, and nothing else is known
        char byte;
        [[maybe_unused]] const auto got = ::read(go[0], &byte, 1);
        int code = 0;
        try {
          const FolderLock own(folder / "run", options);
          code = fs::exists(folder / "run/run.holder") ? 0 : 2;
          // Taken once: it is not given a second time.
          if (error_of_lock(folder / "run", options).empty()) code = 3;
        } catch (const Error&) {
          code = 1;
        }
        ::_exit(code);
      }
      lock.give_to(child);
    }
    CHECK(error_of_lock(folder / "run", options).find("process " + std::to_string(child)) != std::string::npos);
    REQUIRE(::write(go[1], "g", 1) == 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK_FALSE(fs::exists(folder / "run/run.holder"));
    CHECK(error_of_lock(folder / "run", options).empty());
    ::close(go[0]), ::close(go[1]);
  }
}

TEST_CASE("a lock on a file that its holder has removed meanwhile is none") {
  const TemporaryFolder folder;
  LockOptions options;
  bool removed = false;
  options.system.flock = [&](int descriptor) {
    if (!std::exchange(removed, true)) fs::remove(folder / "run/run.lock");  // between open and flock
    return lock_system().flock(descriptor);
  };
  const FolderLock lock(folder / "run", options);
  CHECK(fs::exists(folder / "run/run.lock"));
  CHECK(error_of_lock(folder / "run").starts_with("1 ["));
}

TEST_CASE("a folder given to a process is not that of a later one of the same number") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run");
  LockOptions held_by_another;
  held_by_another.system.flock = [](int) { return EWOULDBLOCK; };
  LockHolder holder = holder_of(::getpid());
  holder.given = true;
  put_file(folder / "run/run.holder", to_text(holder));
  CHECK(error_of_lock(folder / "run", held_by_another).empty());
  holder.start -= 1;
  put_file(folder / "run/run.holder", to_text(holder));
  CHECK(error_of_lock(folder / "run", held_by_another).starts_with("1 ["));
}

TEST_CASE("a process that has ended and was not waited for holds nothing; one that may not be asked is there") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info;
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(presence_of(holder_of(child)) == Presence::gone);
  ::waitpid(child, nullptr, 0);
  const LockHolder first = holder_of(1);  // of root
  CHECK(in_child([&] {
          if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;
          return presence_of(first) == Presence::here ? 0 : 1;
        }) == 0);
}

TEST_CASE("flock reaches other hosts where the mount's options hand it to the server") {
  for (const char* type : {"nfs", "nfs4"}) {
    CHECK(asks_server(type, "rw,vers=4.2,local_lock=none,addr=10.0.0.1"));
    CHECK(asks_server(type, "rw,local_lock=posix"));
    for (const char* option : {"nolock", "local_lock=all", "local_lock=flock"}) {
      CHECK_FALSE(asks_server(type, std::string("rw,") + option + ",hard"));
      CHECK_FALSE(asks_server(type, option));
    }
  }
  CHECK(asks_server("lustre", "rw,flock"));
  CHECK_FALSE(asks_server("lustre", "rw,localflock"));
  CHECK_FALSE(asks_server("lustre", "rw"));
  CHECK(asks_server("ceph", ""));
  CHECK(asks_server("gpfs", "rw"));
  CHECK_FALSE(asks_server("fuse.sshfs", "rw"));
}

TEST_CASE("a killed holder is followed at once") {
  const TemporaryFolder folder;
  for (const LockOptions& options : {LockOptions{}, without_flock(ENOSYS)}) {
    CHECK(in_child([&] {
            FolderLock* const kept = new FolderLock(folder / "run", options);  // never let go
            put_file(folder / "run/manifest.json", "");
            return kept->descriptor() >= 0 && fs::exists(folder / "run/run.holder") ? 0 : 1;
          }) == 0);
    CHECK(fs::exists(folder / "run/run.holder"));
    CHECK(error_of_lock(folder / "run", options).empty());
  }
}

TEST_CASE("many processes that start at once over the file of a dead one: one holds the folder at a time") {
  const TemporaryFolder folder;
  LockHolder gone = holder_of(::getpid());
  gone.process = dead_process();
  put_file(folder / "run/run.holder", to_text(gone));
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    int code = 0;
    LockOptions options = without_flock(ENOSYS);
    options.wait_seconds = 60;
    try {
      for (int round = 0; round < 5; ++round) {
        const FolderLock lock(folder / "run", options);
        if (::mkdir((folder / "run/inside").c_str(), 0700) != 0) code = 2;  // somebody else is inside
        ::usleep(2000);
        ::rmdir((folder / "run/inside").c_str());
      }
    } catch (const Error&) {
      code = 1;
    }
    ::_exit(code);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
}

TEST_CASE("a holder that leaves in time is waited for, until somebody gives up") {
  const TemporaryFolder folder;
  int asked = 0;
  LockOptions options;
  options.wait_seconds = 3600;
  std::optional<FolderLock> first(std::in_place, folder / "run");
  options.give_up = [&] { return ++asked == 3; };
  CHECK(error_of_lock(folder / "run", options).starts_with("1 ["));
  CHECK(asked == 3);
  options.give_up = [&] {
    first.reset();
    return false;
  };
  CHECK(error_of_lock(folder / "run", options).empty());
}
