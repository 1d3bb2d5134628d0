// Files as this project treats them: nothing half written, nothing silently short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss {

/// The whole file. Throws (exit 2) when it cannot be read, is no regular file, or holds more than `most` bytes.
std::string read_file(const std::filesystem::path& path, std::size_t most = std::string::npos);
/// The same of what comes to an end all the same: a pipe, a terminal, a socket; no other device.
std::string read_file_or_pipe(const std::filesystem::path& path);

/// Writes a file so that either the old or the whole new content is there, whatever happens: temporary file beside it,
/// fsync, rename, fsync of the folder. Throws (exit 1) naming the path when the disk refuses.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();  ///< removes the temporary file unless commit() was reached
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Overwrites bytes already written, for headers whose counts are known only at the end.
  void write_at(std::uint64_t offset, const void* data, std::size_t bytes);
  void commit();

 private:
  void flush();
  std::filesystem::path path_, temporary_;
  std::string buffer_;
  int descriptor_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view content);

struct MapEntry;

/// Read-only memory map of a whole regular file; an empty one maps to an empty span. Throws (exit 2) when it cannot be
/// opened.
/// Where the file shrinks while it is mapped, reading it ends the program (lost_map.h).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  MapEntry* entry_ = nullptr;
};

/// What a folder holds, in order of name. Throws (exit 2) when it is not there or cannot be read to its end. It is
/// closed again when this returns.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

/// fsync of a folder, so that a rename inside it survives a power cut.
void sync_directory(const std::filesystem::path& directory);

/// Lower-case hexadecimal SHA-256 (FIPS 180-4).
class Sha256 {
 public:
  Sha256();
  void update(const void* data, std::size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  std::string hex();  ///< finishes; call once

 private:
  void block(const std::uint8_t* bytes);
  std::uint32_t state_[8];
  std::uint8_t buffer_[64];
  std::uint64_t length_ = 0;
};

std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace isoloss
