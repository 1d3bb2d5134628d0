#include "kernels/base/sealed_json.h"

#include <charconv>
#include <string>

#include "kernels/base/error.h"
#include "kernels/base/json_text.h"

namespace isoloss {

namespace {
constexpr const char* kSeal = "xxh64";

std::string seal_of(nlohmann::ordered_json object, std::string_view besides) {
  object.erase(kSeal);
  object.erase(std::string(besides));
  return xxh64_of(object.dump());
}
}  // namespace

void seal(nlohmann::ordered_json& object, std::string_view besides) {
  std::string text = seal_of(object, besides);
  object[kSeal] = std::move(text);
}

void expect_seal(const nlohmann::ordered_json& object, const std::filesystem::path& path, std::string_view besides) {
  const auto expected = object.at(kSeal).get<std::string>();
  const std::string found = seal_of(object, besides);
  if (found != expected) {
    fail_input(path.string(), "values of the checksum " + expected + ", as its last line says", found);
  }
}

nlohmann::ordered_json to_json(const FileDigest& digest) {
  return {{"bytes", digest.bytes}, {"xxh64", hexadecimal(digest.checksum)}};
}

FileDigest digest_from(const nlohmann::ordered_json& json) {
  FileDigest digest;
  digest.bytes = integer_at<std::uint64_t>(json, "bytes");
  const auto text = json.at("xxh64").get<std::string>();
  // What is no such number reads as another one, which the file does not have.
  std::from_chars(text.data(), text.data() + text.size(), digest.checksum, 16);
  return digest;
}

}  // namespace isoloss
