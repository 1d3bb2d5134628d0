// Weights on disk against what their run has written down about them.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace isoloss {

/// Throws (exit 2) where the manifest.json of a finished run or the state.json of a checkpoint lies beside the weights
/// and says that train has written another file. Other weights, and those of earlier versions, have nothing to check.
void expect_as_written(const std::filesystem::path& weights);

/// What weights say about themselves, wherever they are copied: the metadata of their safetensors file. `format` is for
/// other programs. An empty hash is left out.
std::map<std::string, std::string> origin_of_weights(const std::string& tokenizer_sha256);
/// The hash in the metadata of a file of weights; "" where none is.
std::string tokenizer_in_weights(const std::filesystem::path& weights);

}  // namespace isoloss
