// Weights from files: this program's own and those of other programs that hold a GPT-2.
#pragma once

#include <filesystem>

#include "engine/parameters.h"

namespace isoloss {

/// Fills the parameters from a safetensors file with Hugging Face's GPT-2 names, with or without their "transformer.".
/// Every parameter must be there with its shape, and nothing else may be but causal masks and, where the classifier is
/// tied, a copy of the token table under its name. A file that is not the one its run has written is an input
/// error.
void load_weights(ParameterStore& store, const std::filesystem::path& path);

}  // namespace isoloss
