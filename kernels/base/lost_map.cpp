#include "kernels/base/lost_map.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace isoloss {

/// Entries are linked once and stay for good, to be used again: the handler walks them while other threads go on.
struct MapEntry {
  std::atomic<std::uintptr_t> begin = 0, end = 0;
  char name[512] = {};  ///< printable; of a longer one the end, which tells more
  MapEntry* next = nullptr;
};

namespace {

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<MapEntry*>::is_always_lock_free);

std::atomic<MapEntry*> entries = nullptr;
std::mutex changing;

/// An entry that no map has. Call with `changing` held.
MapEntry* free_entry() {
  for (MapEntry* entry = entries; entry != nullptr; entry = entry->next) {
    if (entry->end == 0) return entry;
  }
  auto* const entry = new MapEntry;
  entry->next = entries;
  entries = entry;
  return entry;
}

void put(std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Only what is safe in a signal handler.
void on_bus_error(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const MapEntry* entry = entries;
  while (entry != nullptr && (address < entry->begin || address >= entry->end)) entry = entry->next;
  put("error: [");
  put(entry != nullptr ? entry->name : "memory");
  put(entry != nullptr
          ? "] expected a file that stays as it was opened, got one that became shorter or cannot be read any more\n"
          : "] expected memory that can be read, got a bus error\n");
  ::_exit(1);
}

}  // namespace

MapEntry* note_map(const void* begin, std::size_t bytes, const std::filesystem::path& path) {
  const std::string name = printable(path.string());
  const std::lock_guard lock(changing);
  MapEntry* const entry = free_entry();
  const std::size_t length = std::min(name.size(), sizeof entry->name - 1);
  std::memcpy(entry->name, name.data() + name.size() - length, length);
  entry->name[length] = '\0';
  entry->begin = reinterpret_cast<std::uintptr_t>(begin);
  entry->end = entry->begin + bytes;
  return entry;
}

void forget_map(MapEntry* entry) noexcept { entry->end = 0; }

void watch_mapped_files() {
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace isoloss
