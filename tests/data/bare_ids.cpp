#include "data/bare_ids.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "data/loader.h"
#include "data/shard.h"
#include "data/stories.h"
#include "kernels/base/philox.h"
#include "kernels/core/bf16.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
using Ids = std::vector<std::uint32_t>;

enum class Draw { even, rare_last, rare_anywhere };

/// `count` ids below `vocabulary`; those of text are few and frequent ones and many rare ones, in some order.
Ids drawn(std::uint32_t vocabulary, std::size_t count, Draw draw) {
  Philox random(vocabulary, 3);
  Ids ids(count);
  for (std::uint32_t& id : ids) {
    const double rank = draw == Draw::even ? random.uniform() * vocabulary : std::pow(vocabulary, random.uniform()) - 1;
    id = std::min(static_cast<std::uint32_t>(rank), vocabulary - 1);
    if (draw == Draw::rare_anywhere) id = static_cast<std::uint32_t>(permuted(id, vocabulary, 7));
  }
  return ids;
}

template <class T, class Convert>
std::string packed(const Ids& ids, Convert convert) {
  std::string bytes;
  for (const std::uint32_t id : ids) {
    const T value = convert(id);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}
template <class T>
std::string packed(const Ids& ids) {
  return packed<T>(ids, [](std::uint32_t id) { return static_cast<T>(id); });
}

std::string big_endian(std::string bytes, std::size_t width) {
  for (std::size_t i = 0; i < bytes.size(); i += width) std::reverse(&bytes[i], &bytes[i] + width);
  return bytes;
}

/// The bits of a whole number up to 65,504 as a float16, rounded down.
std::uint16_t half(std::uint32_t id) {
  if (id == 0) return 0;
  const auto value = static_cast<float>(id);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits >> 13) - ((127 - 15) << 10));
}
}  // namespace

TEST_CASE("bare uint16 ids are taken, whatever the vocabulary and however they are spread") {
  for (const std::uint32_t vocabulary : {2u, 4u, 32u, 65u, 255u, 256u, 257u, 500u, 1024u, 4096u, 8192u, 32000u, 50257u,
                                         60000u, 65000u, 65280u, 65536u}) {
    for (const Draw draw : {Draw::even, Draw::rare_last, Draw::rare_anywhere}) {
      for (const std::size_t count : {1u, 15u, 64u, 1000u, 4096u, 40000u}) {
        CAPTURE(vocabulary);
        CAPTURE(static_cast<int>(draw));
        CAPTURE(count);
        CHECK(other_than_uint16(packed<std::uint16_t>(drawn(vocabulary, count, draw))) == "");
      }
    }
  }
  for (const std::uint32_t id : {0u, 1u, 15360u, 16256u, 65535u}) {
    CHECK(other_than_uint16(packed<std::uint16_t>(Ids(10, id))) == "");
  }
  CHECK(other_than_uint16(std::string(20000, '\0')) == "");
}

TEST_CASE("ids of other widths and other byte orders, and floats, are told apart") {
  for (const std::uint32_t vocabulary : {16u, 65u, 200u, 500u, 2048u}) {
    for (const Draw draw : {Draw::even, Draw::rare_last}) {
      CAPTURE(vocabulary);
      CAPTURE(static_cast<int>(draw));
      const Ids ids = drawn(vocabulary, 3001, draw);
      CHECK(other_than_uint16(packed<std::uint32_t>(ids)) == "32-bit ids");
      CHECK(other_than_uint16(packed<std::uint32_t>(ids) + "\1\0") == "32-bit ids");  // the end is cut off
      CHECK(other_than_uint16(packed<std::int64_t>(ids)) == "64-bit ids");
      CHECK(other_than_uint16(big_endian(packed<std::uint32_t>(ids), 4)) == "32-bit big-endian ids");
      CHECK(other_than_uint16(big_endian(packed<std::int64_t>(ids), 8)) == "64-bit big-endian ids");
      CHECK(other_than_uint16(big_endian(packed<std::uint16_t>(ids), 2)) == "16-bit big-endian ids");
      CHECK(other_than_uint16(packed<float>(ids)) == "float32 numbers");
      CHECK(other_than_uint16(packed<double>(ids)) == "float64 numbers");
      CHECK(other_than_uint16(packed<std::uint16_t>(ids, half)) == "float16 numbers");
      const auto brain = [](std::uint32_t id) { return bf16_bits(static_cast<float>(id)); };
      CHECK(other_than_uint16(packed<std::uint16_t>(ids, brain)) == "bfloat16 numbers");
      if (vocabulary > 200) continue;
      CHECK(other_than_uint16(packed<std::uint8_t>(drawn(vocabulary, 9000, draw))) == "8-bit ids");
    }
  }
  const Ids large = drawn(128256, 5000, Draw::rare_last);
  CHECK(other_than_uint16(packed<float>(large)) == "float32 numbers");
  CHECK(other_than_uint16(packed<double>(large)) == "float64 numbers");
}

TEST_CASE("text by characters or bytes, one byte each, is no file of uint16 ids") {
  StoryGenerator stories;
  std::string text;
  while (text.size() < 40000) text += stories.next();
  std::string characters;  // numbered from 0, as character tokenizers do
  for (const char c : text) characters += static_cast<char>(c == '\n' ? 0 : c - 31);
  CHECK(other_than_uint16(characters) == "8-bit ids");
  CHECK(other_than_uint16(std::string_view(characters).substr(0, 8192)) == "8-bit ids");
}

TEST_CASE("ids beyond the vocabulary in a file without header are explained where the bytes tell") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& content, std::uint64_t vocabulary) {
    const auto path = folder.write("bare.bin", content);
    return input_error([&] { TokenDataset({path}).check_ids(vocabulary); });
  };
  const Ids ids = drawn(50257, 500, Draw::rare_last);
  CHECK(error(packed<std::uint16_t>(ids), 50257) == "");
  const std::string swapped = error(big_endian(packed<std::uint16_t>(ids), 2), 50257);
  CHECK(contains(swapped, "expected an id below the vocabulary of 50257"));
  CHECK(contains(swapped, "without a header ids are uint16, and these seem to be 16-bit big-endian ids"));
  CHECK(contains(error(packed<std::uint8_t>(drawn(65, 500, Draw::rare_last)), 65), "seem to be 8-bit ids"));
  CHECK(contains(error(packed<std::uint16_t>({1, 2, 600}), 500), "got 600"));
  CHECK_FALSE(contains(error(packed<std::uint16_t>({1, 2, 600}), 500), "header"));
}

TEST_CASE("a header is believed: the same bytes behind one are uint16 ids") {
  const TemporaryFolder folder;
  const Ids ids = drawn(500, 3000, Draw::rare_last);
  const std::string bytes = packed<std::uint32_t>(ids);
  Ids halves(bytes.size() / 2);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = i % 2 == 0 ? ids[i / 2] : 0;
  CHECK(contains(input_error([&] { TokenShard shard(folder.write("bare.bin", bytes)); }), "(uint16: 20240520, 1)"));
  ShardWriter writer(folder.path() / "with.bin", 2);
  writer.append(halves);
  writer.finish();
  CHECK(TokenShard(folder.path() / "with.bin").size() == halves.size());
}

}  // namespace isoloss
