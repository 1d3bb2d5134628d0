// A mapped file that becomes shorter, or whose disk fails, while it is being read: the system then sends SIGBUS.
#pragma once

#include <cstddef>
#include <filesystem>

namespace isoloss {

struct MapEntry;

/// Notes that [begin, begin + bytes) is the map of `path`, for the line of watch_mapped_files; forget_map ends that.
MapEntry* note_map(const void* begin, std::size_t bytes, const std::filesystem::path& path);
void forget_map(MapEntry* entry) noexcept;

/// From now on SIGBUS ends the program with one line, which names the file if the address is in one, and exit code 1.
void watch_mapped_files();

}  // namespace isoloss
