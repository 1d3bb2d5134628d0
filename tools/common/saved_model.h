// A model on disk: what it is and where its weights are.
#pragma once

#include <filesystem>

#include "models/config.h"

namespace isoloss {

struct SavedModel {
  Configuration configuration;
  std::filesystem::path weights;
};

/// The final weights of a run, or those of its newest checkpoint while it is not finished.
SavedModel saved_model_of_run(const std::filesystem::path& run);

}  // namespace isoloss
