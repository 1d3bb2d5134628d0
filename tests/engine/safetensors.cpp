#include "engine/safetensors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/base/checksum.h"
#include "kernels/base/philox.h"
#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::error_of;
using isoloss::test::TemporaryFolder;

namespace {

std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + header + data;
}

SafetensorsContent parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())), "f");
}

/// The error of a file with this header over eight bytes of data.
std::string header_error(const std::string& header) {
  return error_of([&] { parse(file_of(header, std::string(8, 'x'))); });
}

std::uint64_t hash(const std::string& text) {
  Xxh64 checksum;
  checksum.update(text.data(), text.size());
  return checksum.value();
}

}  // namespace

TEST_CASE("XXH64 agrees with the specification's own values, however the bytes are cut") {
  CHECK(hash("") == 0xEF46DB3751D8E999);
  CHECK(hash("a") == 0xD24EC4F1A98C6E5B);
  CHECK(hash("abc") == 0x44BC2CF5AD770999);
  CHECK(hash("Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1);
  std::string text;
  for (int i = 0; i < 200; ++i) text += static_cast<char>(i * 7);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Xxh64 checksum;
    checksum.update(text.data(), cut);
    checksum.update(text.data() + cut, text.size() - cut);
    REQUIRE(checksum.value() == hash(text));
  }
}

TEST_CASE("written tensors read back bit for bit, in a fixed order, aligned") {
  const TemporaryFolder folder;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> floats = {1.5f, -0.0f, nan, std::numeric_limits<float>::denorm_min(), 3e38f, -7};
  const std::vector<double> doubles = {0.1, -1e300};
  const std::vector<std::int32_t> ints = {-1, 2, 3};
  const std::vector<std::uint8_t> bytes = {1, 2, 3, 4, 5};
  const std::vector<NamedTensor> tensors = {
      {"z", DType::f32, {2, 3}, floats.data()},  {"bytes", DType::u8, {5}, bytes.data()},
      {"d", DType::f64, {2}, doubles.data()},    {"a", DType::i32, {3}, ints.data()},
      {"scalar", DType::f32, {}, floats.data()}, {"empty", DType::f32, {0, 4}, nullptr}};
  const FileDigest digest = write_safetensors(folder / "f", tensors, {{"format", "pt"}});
  const SafetensorsFile file(folder / "f");
  REQUIRE(file.tensors().size() == tensors.size());
  std::vector<std::string> order;
  for (const StoredTensor& tensor : file.tensors()) {
    order.push_back(tensor.name);
    const auto source =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == tensor.name; });
    CHECK(tensor.shape == source->shape);
    CHECK(tensor.type == stored_type(source->dtype));
    CHECK((tensor.bytes.empty() || std::memcmp(tensor.bytes.data(), source->data, tensor.bytes.size()) == 0));
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % bytes_of(tensor.type) == 0);
  }
  CHECK(order == std::vector<std::string>{"d", "a", "empty", "scalar", "z", "bytes"});
  CHECK(file.metadata().at("format") == "pt");

  const std::string content = read_file(folder / "f");
  CHECK(digest.bytes == content.size());
  CHECK(digest.checksum == hash(content));
  std::vector<NamedTensor> shuffled = {tensors[3], tensors[5], tensors[0], tensors[4], tensors[1], tensors[2]};
  write_safetensors(folder / "g", shuffled, {{"format", "pt"}});
  CHECK(read_file(folder / "g") == content);
}

TEST_CASE("a tensor larger than the writer's pieces survives") {
  const TemporaryFolder folder;
  std::vector<std::uint8_t> values((1 << 20) + 12345);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint8_t>(i * 31 >> 3);
  const auto count = static_cast<std::int64_t>(values.size());
  const FileDigest digest = write_safetensors(folder / "f", {{"x", DType::u8, {count}, values.data()}});
  const SafetensorsFile file(folder / "f");
  CHECK(std::memcmp(file.at("x", {count}).bytes.data(), values.data(), values.size()) == 0);
  CHECK(digest.checksum == hash(read_file(folder / "f")));
}

TEST_CASE("looking a tensor up names what is wrong") {
  const TemporaryFolder folder;
  const float values[6] = {};
  write_safetensors(folder / "f", {{"w", DType::f32, {2, 3}, values}});
  const SafetensorsFile file(folder / "f");
  CHECK(file.find("w") != nullptr);
  CHECK(file.find("v") == nullptr);
  const std::string path = (folder / "f").string();
  CHECK(error_of([&] { file.at("v", {2, 3}); }) == "2 [" + path + " v] expected a tensor of this name, got none");
  CHECK(error_of([&] { file.at("w", {3, 2}); }) == "2 [" + path + " w] expected the shape [3, 2], got [2, 3]");
  CHECK(error_of([&] {
          write_safetensors(folder / "g", {{"w", DType::f32, {1}, values}, {"w", DType::f32, {2}, values}});
        }).find("expected each tensor once, got w twice") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "g"));
}

TEST_CASE("values convert from every floating-point type") {
  // 1, -2.5, the smallest subnormal half 2^-24, the largest half 65504, infinity
  const std::string half("\x00\x3c\x00\xc1\x01\x00\xff\x7b\x00\x7c", 10);
  std::string file = file_of(R"({"x":{"dtype":"F16","shape":[5],"data_offsets":[0,10]}})", half);
  std::vector<float> floats(5);
  read_values(parse(file).tensors[0], floats, "f");
  CHECK(floats == std::vector<float>{1, -2.5f, std::ldexp(1.0f, -24), 65504, std::numeric_limits<float>::infinity()});
  file = file_of(R"({"x":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", std::string("\x01\x7c", 2));
  read_values(parse(file).tensors[0], std::span(floats).first(1), "f");
  CHECK(std::isnan(floats[0]));
  file = file_of(R"({"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})", std::string("\x80\x3f\x40\xc0", 4));
  std::vector<double> doubles(2);
  read_values(parse(file).tensors[0], doubles, "f");
  CHECK(doubles == std::vector<double>{1, -3});
  const double stored = 0.1;
  file = file_of(R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
                 std::string(reinterpret_cast<const char*>(&stored), 8));
  read_values(parse(file).tensors[0], std::span(floats).first(1), "f");
  CHECK(floats[0] == 0.1f);

  file = file_of(R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", std::string(8, '\0'));
  CHECK(error_of([&] { read_values(parse(file).tensors[0], std::span(floats).first(1), "f"); }) ==
        "2 [f x] expected F16, BF16, F32 or F64 values, got I64");
  CHECK(error_of([&] { read_values(parse(file).tensors[0], floats, "f"); }) == "2 [f x] expected 5 values, got I64[1]");
}

TEST_CASE("every dtype has the name and size that the format gives it") {
  const std::pair<const char*, int> types[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                                               {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                                               {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  for (const auto& [name, bytes] : types) {
    const std::string size = std::to_string(3 * bytes);
    const std::string header =
        R"({"x":{"dtype":")" + std::string(name) + R"(","shape":[3],"data_offsets":[0,)" + size + "]}}";
    const std::string file = file_of(header, std::string(static_cast<std::size_t>(3 * bytes), '\0'));
    const SafetensorsContent content = parse(file);
    CHECK(content.tensors[0].text() == std::string(name) + "[3]");
    CHECK(content.tensors[0].count() == 3);
  }
}

TEST_CASE("a tensor without elements has any other dimensions, in any order") {
  for (const std::string shape : {"[0,768]", "[768,0]", "[3,9,0,9223372036854775807]"}) {
    const std::string file = file_of(R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,0]}})", "");
    const SafetensorsContent content = parse(file);
    CHECK(content.tensors[0].count() == 0);
    CHECK(content.tensors[0].shape.size() >= 2);
  }
}

TEST_CASE("hostile and broken files are one-line input errors") {
  const auto has = [](const std::string& error, const std::string& part) {
    INFO(error);
    CHECK(error.substr(0, 4) == "2 [f");
    CHECK(error.find(part) != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
  };
  has(error_of([] { parse(""); }), "only 0 bytes");
  has(error_of([] { parse("1234567"); }), "only 7 bytes");
  has(error_of([] { parse(std::string(8, '\xff')); }), "header of at most 100 MB");
  has(error_of([] { parse(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)); }), "one of 100000001 bytes");
  has(error_of([] { parse(std::string("\x03\0\0\0\0\0\0\0{}", 10)); }), "truncated or no safetensors file");
  has(error_of([] { parse(file_of("", "")); }), "a JSON object as header");
  has(error_of([] { parse(file_of("[]", "")); }), "a JSON object as header");
  has(error_of([] { parse(file_of("{", "")); }), "a JSON object as header");
  has(error_of([] { parse(file_of("{\"\xff\":1}", "")); }), "a JSON object as header");
  has(error_of([] { parse(file_of("{\"w\":1e999}", "")); }), "byte 10] expected a JSON object as header, got 1e999");
  has(error_of([] { parse(file_of(std::string(100000, '['), "")); }), "deeper nesting");
  has(header_error("{}"), "expected 0 bytes of data, got 8");
  has(header_error(R"({"x":1})"), "the field dtype");
  has(header_error(R"({"x":{"shape":[2],"data_offsets":[0,8]}})"), "the field dtype, got none");
  has(header_error(R"({"x":{"dtype":"F32","data_offsets":[0,8]}})"), "the field shape, got none");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2]}})"), "the field data_offsets, got none");
  has(header_error(R"({"x":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})"), "a known dtype, got F99");
  has(header_error(R"({"x":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})"), "a known dtype");
  has(header_error(R"({"x":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})"), "a shape");
  has(header_error(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), "dimensions that the file can hold");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})"), "dimensions that the file can hold");
  has(header_error(R"({"x":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})"), "dimensions that");
  has(header_error(R"({"x":{"dtype":"F32","shape":[8,8,8],"data_offsets":[0,8]}})"), "a shape that the file can hold");
  has(header_error(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"), "12 bytes for F32[3], got 8");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})"), "inside the 8 bytes of data");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"), "inside the 8 bytes of data");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})"), "inside the 8 bytes of data");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})"), "inside the 8 bytes of data");
  has(header_error(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":"no"}})"), "inside the 8 bytes of data");
  has(header_error(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"), "expected 4 bytes of data, got 8");
  has(header_error(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"), "data from offset 0");
  has(header_error(
          R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
      "data from offset 8, where the tensor before it ends, got 4");
  has(header_error(
          R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
      "each tensor once, got x twice");
  has(header_error(R"({"__metadata__":{"a":1},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"), "__metadata__");
  has(header_error(R"({"__metadata__":3})"), "__metadata__");
  has(header_error("{\"line\\nbreak\":1}"), "line\\x0abreak");
}

TEST_CASE("random damage to a valid file is read or refused, never worse") {
  const TemporaryFolder folder;
  const float values[6] = {1, 2, 3, 4, 5, 6};
  write_safetensors(
      folder / "f",
      {{"first", DType::f32, {2, 2}, values}, {"second", DType::f64, {1}, values}, {"none", DType::u8, {0}, values}},
      {{"key", "value"}});
  const std::string whole = read_file(folder / "f");
  Philox random(2026, 1);
  int refused = 0;
  constexpr int kRounds = 20000;
  for (int round = 0; round < kRounds; ++round) {
    std::string damaged = whole;
    for (std::uint64_t edits = random.below(3) + 1; edits > 0; --edits) {
      const std::size_t at = random.below(damaged.size());
      switch (random.below(4)) {
        case 0:
          damaged[at] = static_cast<char>(random.next());
          break;
        case 1:
          damaged.resize(at + 1);
          break;
        case 2:
          damaged.insert(at, damaged.substr(random.below(damaged.size()), random.below(9)));
          break;
        default:
          damaged[at] = "0123456789[]{},:\""[random.below(16)];
          break;
      }
    }
    const std::string error = error_of([&] {
      for (const StoredTensor& tensor : parse(damaged).tensors) {
        std::vector<float> read(static_cast<std::size_t>(tensor.count()));
        read_values(tensor, read, "f");
      }
    });
    refused += !error.empty();
    REQUIRE((error.empty() || error.substr(0, 4) == "2 [f"));
    REQUIRE(error.find('\n') == std::string::npos);
  }
  // Damage inside the values is not seen here, the rest is; both kinds must occur or the test tests nothing.
  CHECK(refused > kRounds / 2);
  CHECK(refused < kRounds);
}
