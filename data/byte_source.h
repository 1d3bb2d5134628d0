// Files as streams of bytes, decompressed on the way, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

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

/// A source whose first bytes can be looked at before they are read.
class PreviewedSource final : public ByteSource {
 public:
  explicit PreviewedSource(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}

  /// The first `bytes` that were not read yet, fewer only where the source ends. To be called before the first read().
  std::string_view head(std::size_t bytes);
  /// Drops the first `bytes` of what head() gave.
  void skip(std::size_t bytes) { next_ += bytes; }

  std::size_t read(char* out, std::size_t capacity) override;
  std::uint64_t consumed() const override { return source_->consumed(); }
  std::string sha256() override { return source_->sha256(); }

 private:
  std::unique_ptr<ByteSource> source_;
  std::string head_;
  std::size_t next_ = 0;
};

/// gzip, zstd and xz (also several members one behind the other) are decompressed, whatever the file's name is; all
/// else are the bytes as they are. A file that its ending calls compressed and that is not is an input error when it is
/// read.
std::unique_ptr<PreviewedSource> open_source(const std::filesystem::path& path);

/// The name without its compression ending `.gz`, `.zst` or `.xz`, in capitals too.
std::filesystem::path uncompressed_name(const std::filesystem::path& path);
/// The ending in small letters.
std::string lower_extension(const std::filesystem::path& path);

/// SHA-256 of a file read as a stream, so that its pages do not count as this process's memory.
std::string sha256_of_stream(const std::filesystem::path& path);

}  // namespace isoloss
