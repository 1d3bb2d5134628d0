#include "models/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "engine/saved_weights.h"
#include "engine/training_model.h"
#include "kernels/base/error.h"

namespace isoloss {

namespace {
constexpr std::string_view kPrefix = "transformer.";
constexpr const char *kTokenTable = "transformer.wte.weight", *kClassifier = "lm_head.weight";

/// Files made by other programs carry a tied classifier a second time. Where it is not the table, the model was untied,
/// and half of it would be lost.
void expect_tied(const SafetensorsFile& file, const StoredTensor& table) {
  const StoredTensor& classifier = file.at(kClassifier, table.shape);
  if (classifier.type != table.type || !std::ranges::equal(classifier.bytes, table.bytes)) {
    fail_input(fmt::format("{} {}", file.path().string(), kClassifier),
               fmt::format("the values of {}, since model.tie_embeddings = true", table.name), "others");
  }
}
}  // namespace

void load_weights(ParameterStore& store, const std::filesystem::path& path) {
  expect_as_written(path);
  const SafetensorsFile file(path);
  // Some published GPT-2 files leave the prefix out.
  const bool prefixed =
      std::ranges::any_of(file.tensors(), [](const StoredTensor& tensor) { return tensor.name.starts_with(kPrefix); });
  const auto stored_name = [prefixed](const std::string& name) {
    return prefixed || !name.starts_with(kPrefix) ? name : name.substr(kPrefix.size());
  };
  load_model(store, file, stored_name, [&](const StoredTensor& tensor) {
    if (tensor.name == kClassifier) expect_tied(file, *file.find(stored_name(kTokenTable)));
    // Files made by other programs carry the causal masks as tensors.
    return tensor.name == kClassifier || tensor.name.ends_with(".attn.bias") ||
           tensor.name.ends_with(".attn.masked_bias");
  });
}

}  // namespace isoloss
