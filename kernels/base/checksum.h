// XXH64 (Yann Collet's specification of the algorithm, version 0.1.1): a checksum at memory speed. It tells a torn or
// rotten file from a whole one; it is no defence against forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace isoloss {

class Xxh64 {
 public:
  explicit Xxh64(std::uint64_t seed = 0);
  void update(const void* data, std::size_t bytes);
  std::uint64_t value() const;

 private:
  std::uint64_t seed_, lanes_[4], length_ = 0;
  unsigned char buffer_[32];
};

/// 16 hexadecimal digits.
std::string hexadecimal(std::uint64_t checksum);
std::string xxh64_of(std::string_view text);

/// Size and XXH64 of a file, or of its beginning.
struct FileDigest {
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;
  bool operator==(const FileDigest&) const = default;
};
/// Throws (exit 2) unless the file is what `digest` says; `said_by` names who says so.
void expect_digest(const std::filesystem::path& path, const FileDigest& digest, std::string_view said_by);

}  // namespace isoloss
