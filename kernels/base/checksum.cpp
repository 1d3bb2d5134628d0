#include "kernels/base/checksum.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9,
                        kPrime4 = 0x85EBCA77C2B2AE63, kPrime5 = 0x27D4EB2F165667C5;

/// Little-endian, as every machine that this project runs on.
template <class Word>
std::uint64_t load(const unsigned char* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

std::uint64_t round(std::uint64_t lane, std::uint64_t input) { return std::rotl(lane + input * kPrime2, 31) * kPrime1; }

void stripe(std::uint64_t* lanes, const unsigned char* bytes) {
  for (int i = 0; i < 4; ++i) lanes[i] = round(lanes[i], load<std::uint64_t>(bytes + 8 * i));
}

}  // namespace

Xxh64::Xxh64(std::uint64_t seed)
    : seed_(seed), lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1}, buffer_{} {}

void Xxh64::update(const void* data, std::size_t bytes) {
  const auto* next = static_cast<const unsigned char*>(data);
  std::size_t used = length_ % 32;
  length_ += bytes;
  while (bytes > 0) {
    if (used == 0 && bytes >= 32) {  // whole stripes straight from the source
      stripe(lanes_, next);
      next += 32, bytes -= 32;
      continue;
    }
    const std::size_t take = std::min(bytes, 32 - used);
    std::memcpy(buffer_ + used, next, take);
    used += take, next += take, bytes -= take;
    if (used == 32) stripe(lanes_, buffer_), used = 0;
  }
}

std::uint64_t Xxh64::value() const {
  std::uint64_t hash = seed_ + kPrime5;
  if (length_ >= 32) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (const std::uint64_t lane : lanes_) hash = (hash ^ round(0, lane)) * kPrime1 + kPrime4;
  }
  hash += length_;
  const unsigned char* next = buffer_;
  const unsigned char* const end = buffer_ + length_ % 32;
  for (; end - next >= 8; next += 8) {
    hash = std::rotl(hash ^ round(0, load<std::uint64_t>(next)), 27) * kPrime1 + kPrime4;
  }
  if (end - next >= 4) {
    hash = std::rotl(hash ^ (load<std::uint32_t>(next) * kPrime1), 23) * kPrime2 + kPrime3;
    next += 4;
  }
  for (; next < end; ++next) hash = std::rotl(hash ^ (*next * kPrime5), 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

std::string hexadecimal(std::uint64_t checksum) { return fmt::format("{:016x}", checksum); }

std::string xxh64_of(std::string_view text) {
  Xxh64 checksum;
  checksum.update(text.data(), text.size());
  return hexadecimal(checksum.value());
}

void expect_digest(const std::filesystem::path& path, const FileDigest& digest, std::string_view said_by) {
  const MappedFile file(path);
  if (file.bytes().size() != digest.bytes) {
    fail_input(path.string(), fmt::format("{} bytes, as {} says", digest.bytes, said_by),
               fmt::format("{}", file.bytes().size()));
  }
  Xxh64 checksum;
  checksum.update(file.bytes().data(), file.bytes().size());
  if (checksum.value() != digest.checksum) {
    fail_input(path.string(), fmt::format("the checksum {}, as {} says", hexadecimal(digest.checksum), said_by),
               hexadecimal(checksum.value()));
  }
}

}  // namespace isoloss
