// Weights on disk against what their run has written down about them.
#pragma once

#include <filesystem>

namespace isoloss {

/// Throws (exit 2) where the manifest.json of a finished run or the state.json of a checkpoint lies beside the weights
/// and says that train has written another file. Other weights, and those of earlier versions, have nothing to check.
void expect_as_written(const std::filesystem::path& weights);

}  // namespace isoloss
