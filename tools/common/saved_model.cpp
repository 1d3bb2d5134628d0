#include "tools/common/saved_model.h"

#include "engine/checkpoint.h"
#include "kernels/base/error.h"
#include "tools/common/program.h"

namespace isoloss {

SavedModel saved_model_of_run(const std::filesystem::path& run) {
  SavedModel saved{configuration_of_run(run), run / "model.safetensors"};
  if (std::filesystem::exists(saved.weights)) return saved;
  const auto checkpoint = latest_checkpoint(run, [](std::string_view why) { warn(why); });
  if (!checkpoint) fail_input(run.string(), "model.safetensors or a checkpoint", "neither");
  saved.weights = checkpoint->model();
  return saved;
}

}  // namespace isoloss
