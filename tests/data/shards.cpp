#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "data/shard.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
std::string header(std::uint32_t magic, std::uint32_t version, std::uint32_t count) {
  std::string bytes(1024, '\0');
  const std::uint32_t fields[3] = {magic, version, count};
  std::memcpy(bytes.data(), fields, sizeof fields);
  return bytes;
}

template <class T>
std::string packed(const std::vector<T>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(T)};
}
}  // namespace

TEST_CASE("a written shard is read back, in both widths and over block boundaries") {
  const TemporaryFolder folder;
  for (const int id_bytes : {2, 4}) {
    CAPTURE(id_bytes);
    std::vector<std::uint32_t> ids(5000);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint32_t>(i * 7919 % 65536);
    if (id_bytes == 4) ids[17] = 4'000'000'000u;
    const auto path = folder.path() / (std::to_string(id_bytes) + ".bin");
    ShardWriter writer(path, id_bytes);
    writer.append(std::span(ids).first(1));
    writer.append(std::span(ids).subspan(1));
    CHECK_FALSE(std::filesystem::exists(path));  // nothing half written is ever visible
    writer.finish();

    const TokenShard shard(path);
    REQUIRE(shard.size() == ids.size());
    CHECK(shard.id_bytes() == id_bytes);
    CHECK(shard.has_header());
    CHECK(std::filesystem::file_size(path) == 1024 + ids.size() * static_cast<std::size_t>(id_bytes));
    for (std::size_t i = 0; i < ids.size(); ++i) REQUIRE(shard[i] == ids[i]);
    std::vector<std::int32_t> out(100);
    shard.read(4000, 100, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(static_cast<std::uint32_t>(out[i]) == ids[4000 + i]);
  }
}

TEST_CASE("the header is llm.c's, byte for byte") {
  const TemporaryFolder folder;
  ShardWriter writer(folder.path() / "a.bin", 2);
  writer.append(std::vector<std::uint32_t>{1, 50256, 3});
  writer.finish();
  CHECK(read_file(folder.path() / "a.bin") == header(20240520, 1, 3) + packed<std::uint16_t>({1, 50256, 3}));
}

TEST_CASE("an id that does not fit into 16 bits is refused, not cut") {
  const TemporaryFolder folder;
  ShardWriter writer(folder.path() / "a.bin", 2);
  CHECK(contains(input_error([&] { writer.append(std::vector<std::uint32_t>{65536}); }), "65536"));
}

TEST_CASE("bare uint16 files") {
  const TemporaryFolder folder;
  const TokenShard shard(folder.write("train.bin", packed<std::uint16_t>({5, 6, 50256, 8})));
  CHECK(shard.size() == 4);
  CHECK_FALSE(shard.has_header());
  CHECK(shard[2] == 50256);
}

TEST_CASE("bare files of wider ids are refused, bare uint16 files are not") {
  const TemporaryFolder folder;
  const auto error_of_bare = [&](const std::string& content) {
    const auto path = folder.write("bare.bin", content);
    return input_error([&] { TokenShard shard(path); });
  };
  const auto big_endian = [](std::string bytes, std::size_t width) {
    for (std::size_t i = 0; i < bytes.size(); i += width) std::reverse(&bytes[i], &bytes[i] + width);
    return bytes;
  };
  // Vocabularies of four ids (as for DNA), of bytes, of GPT-2 and of 128,256 ids.
  for (const std::uint32_t vocabulary : {4u, 256u, 50257u, 128256u}) {
    CAPTURE(vocabulary);
    std::vector<std::uint32_t> wide;
    std::vector<std::uint64_t> widest;
    std::vector<std::uint16_t> narrow;
    for (std::uint32_t i = 0; i < 1000; ++i) {
      wide.push_back(i * 2654435761u % 1000003u % vocabulary);
      widest.push_back(wide.back());
      narrow.push_back(static_cast<std::uint16_t>(wide.back()));
    }
    CHECK(contains(error_of_bare(packed(wide)),
                   "bare.bin] expected uint16 ids, since there is no header, got what "
                   "seems to be 32-bit ids; write them as uint16, or as uint32 behind"));
    CHECK(contains(error_of_bare(packed(widest)), "64-bit ids"));
    CHECK(contains(error_of_bare(big_endian(packed(wide), 4)), "32-bit big-endian ids"));
    CHECK(contains(error_of_bare(big_endian(packed(widest), 8)), "64-bit big-endian ids"));
    CHECK(error_of_bare(packed(narrow)) == "");
  }
  CHECK(error_of_bare(std::string(1000, '\0')) == "");                    // one id over and over
  CHECK(error_of_bare(packed<std::uint16_t>({5, 0, 7, 0, 9, 0})) == "");  // too few to tell
}

TEST_CASE("every malformed shard is one error that names the file and what is wrong") {
  const TemporaryFolder folder;
  const std::string ids = packed<std::uint16_t>({1, 2, 3, 4});
  struct Bad {
    std::string content;
    const char* says;
  };
  const Bad cases[] = {
      {"", "empty file"},
      {header(20240520, 1, 5) + ids, "truncated"},
      {header(20240520, 1, 3) + ids, "1030 bytes for the 3 ids"},
      {header(20240801, 7, 4) + ids, "truncated"},
      {header(20240520, 7, 4) + ids, "version 7"},
      {header(20240801, 1, 2) + ids, "version 1"},
      {header(20240520, 1, 4).substr(0, 500), "a file of 500"},
      {header(20240326, 3, 4) + ids, "magic 20240326"},
      {header(20240801, 7, 0xffffffff) + ids, "truncated"},
      {std::string("\x01\x34\xd8\x88", 4) + ids, "big-endian"},
      {ids + "x", "odd number"},
      {"Call me Ishmael. Some years ago, never mind how long.", "text"},
      {"\x1f\x8b\x08 more of it", "gzip"},
      {std::string("PK\x03\x04....", 8), "zip"},
  };
  for (const Bad& bad : cases) {
    const auto path = folder.write("bad.bin", bad.content);
    const std::string error = input_error([&] { TokenShard shard(path); });
    CAPTURE(error);
    CHECK(contains(error, bad.says));
    CHECK(contains(error, "bad.bin] expected"));
    CHECK_FALSE(contains(error, "\n"));
  }
  CHECK(contains(input_error([&] { TokenShard shard(folder.path() / "none.bin"); }), "none.bin"));
  CHECK(contains(input_error([&] { TokenShard shard(folder.path()); }), "folder"));
}

TEST_CASE("globs: patterns in order, matches sorted, nothing matched or matched twice is an error") {
  const TemporaryFolder folder;
  for (const char* name : {"train_000001.bin", "train_000000.bin", "train_000010.bin", "val_000000.bin", "a[1].bin"}) {
    folder.write(name, "xx");
  }
  const std::string base = folder.path().string() + "/";
  const auto names = [&](std::vector<std::string> patterns) {
    for (std::string& pattern : patterns) pattern = base + pattern;
    std::string all;
    for (const auto& path : expand_shards(patterns, "data.train")) all += path.filename().string() + " ";
    return all;
  };
  CHECK(names({"train_*.bin"}) == "train_000000.bin train_000001.bin train_000010.bin ");
  CHECK(names({"val_000000.bin", "train_00000[01].bin"}) == "val_000000.bin train_000000.bin train_000001.bin ");
  CHECK(names({"a[1].bin"}) == "a[1].bin ");
  const std::string none = input_error([&] { names({"none_*.bin"}); });
  CHECK(contains(none, "[data.train] expected"));
  CHECK_FALSE(contains(none, "set of characters"));
  CHECK(contains(input_error([&] { names({"train_*.bin", "train_000001.bin"}); }), "twice"));
  CHECK(contains(input_error([&] { names({}); }), "empty list"));
}

TEST_CASE("globs: brackets in the names of folders and files") {
  const TemporaryFolder folder;
  for (const char* name : {"lr[1e-3]/train_0.bin", "lr[1e-3]/train_1.bin", "lr1/train_0.bin", "lr2/x[1]_0.bin",
                           "lr2/seed*/train_0.bin", "lr2/seed1/train_0.bin", "back\\[1]/train_0.bin"}) {
    folder.write(name, "xx");
  }
  const auto found = [&](const std::string& pattern) {
    std::string all;
    for (const auto& path : expand_shards(std::vector{(folder.path() / pattern).string()}, "data.train")) {
      all += path.lexically_relative(folder.path()).string() + " ";
    }
    return all;
  };
  // The folder is there as it is written, so lr1, which the set would match, is not meant.
  CHECK(found("lr[1e-3]/train_*.bin") == "lr[1e-3]/train_0.bin lr[1e-3]/train_1.bin ");
  CHECK(found("lr[1e-3]/train_[1].bin") == "lr[1e-3]/train_1.bin ");
  CHECK(found("lr[12]/train_*.bin") == "lr1/train_0.bin ");
  CHECK(found("lr2/x[1]_*.bin") == "lr2/x[1]_0.bin ");
  CHECK(found("lr2/seed*/train_*.bin") == "lr2/seed*/train_0.bin ");
  CHECK(found("lr2/seed?/train_*.bin") == "lr2/seed*/train_0.bin lr2/seed1/train_0.bin ");
  CHECK(found("back\\[1]/train_*.bin") == "back\\[1]/train_0.bin ");
  CHECK(found("*r[1e-3]/train_*.bin") == "lr1/train_0.bin ");
  CHECK(found("*r[1e-3]/train_1.bin") == "lr[1e-3]/train_1.bin ");
  CHECK(contains(input_error([&] { found("lr[3]/train_*.bin"); }), "matches no file ([ begins a set of characters)"));
}

}  // namespace isoloss
