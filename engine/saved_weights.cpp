#include "engine/saved_weights.h"

#include <optional>
#include <string>

#include "engine/safetensors.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/sealed_json.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTokenizer = "tokenizer_sha256";

/// The value under `keys`, one inside the other, in a file that may be missing, or of another program.
std::optional<nlohmann::json> value_in(const fs::path& file, std::initializer_list<std::string> keys) {
  if (!fs::exists(file)) return std::nullopt;
  std::optional<nlohmann::json> value = try_parse_json(read_file(file));
  for (const std::string& key : keys) {
    if (!value || !value->is_object() || !value->contains(key)) return std::nullopt;
    value = nlohmann::json(value->at(key));
  }
  return value;
}

}  // namespace

void expect_as_written(const fs::path& weights) {
  const fs::path folder = fs::absolute(weights).parent_path();
  const std::string name = weights.filename().string();
  const fs::path state = folder / "state.json", manifest = folder / "manifest.json";
  const auto check = [&](const fs::path& said_by, const std::optional<nlohmann::json>& digest) {
    if (!digest) return;
    read_json(said_by.string(), "the size and checksum of " + name,
              [&] { expect_digest(weights, digest_from(*digest), said_by.filename().string()); });
  };
  check(state, value_in(state, {"files", name}));
  if (name == "model.safetensors") check(manifest, value_in(manifest, {"weights"}));
}

std::map<std::string, std::string> origin_of_weights(const std::string& tokenizer_sha256) {
  std::map<std::string, std::string> origin = {{"format", "pt"}};
  if (!tokenizer_sha256.empty()) origin[kTokenizer] = tokenizer_sha256;
  return origin;
}

std::string tokenizer_in_weights(const fs::path& weights) {
  const SafetensorsFile file(weights);
  const auto found = file.metadata().find(kTokenizer);
  return found == file.metadata().end() ? "" : found->second;
}

}  // namespace isoloss
