// JSON that knows its own checksum, so that no value in it changes without a word.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "kernels/base/checksum.h"

namespace isoloss {

/// Adds the XXH64 of the object as its last key `xxh64`. The key `besides` is left out of it.
void seal(nlohmann::ordered_json& object, std::string_view besides = {});
/// Throws (exit 2) naming the file where the object is not the one that was sealed.
void expect_seal(const nlohmann::ordered_json& object, const std::filesystem::path& path,
                 std::string_view besides = {});

/// {"bytes": 12, "xxh64": "…"}
nlohmann::ordered_json to_json(const FileDigest& digest);
/// Throws nlohmann's exceptions for what is not of that form.
FileDigest digest_from(const nlohmann::ordered_json& json);

}  // namespace isoloss
