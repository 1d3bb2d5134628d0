// Files as streams of bytes, decompressed on the way, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace isoloss {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Up to `capacity` bytes; 0 only at the end. Input errors name the file.
  virtual std::size_t read(char* out, std::size_t capacity) = 0;
  /// Bytes of the file itself (before decompression) read so far, for progress.
  virtual std::uint64_t consumed() const = 0;
  /// SHA-256 of the file itself; to be called once, at the end.
  virtual std::string sha256() = 0;
};

/// By the name's ending: `.gz`, `.zst`, `.xz` (also several members one behind the other), or the bytes as they are.
std::unique_ptr<ByteSource> open_source(const std::filesystem::path& path);

/// The name without its compression ending.
std::filesystem::path uncompressed_name(const std::filesystem::path& path);

/// SHA-256 of a file read as a stream, so that its pages do not count as this process's memory.
std::string sha256_of_stream(const std::filesystem::path& path);

}  // namespace isoloss
