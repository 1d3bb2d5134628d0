// XXH64 (Yann Collet's specification of the algorithm, version 0.1.1): a checksum at memory speed. It tells a torn or
// rotten file from a whole one; it is no defence against forgery.
#pragma once

#include <cstddef>
#include <cstdint>

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

}  // namespace isoloss
