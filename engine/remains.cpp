#include "engine/remains.h"

#include <algorithm>
#include <system_error>

#include "engine/run_record.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace fs = std::filesystem;

bool stopped_before_first_checkpoint(const fs::path& folder) {
  if (!fs::exists(folder / "manifest.json") || fs::exists(folder / "model.safetensors")) return false;
  if (read_manifest(folder).status != RunStatus::running) return false;
  const fs::path checkpoints = folder / "checkpoints";
  if (!fs::exists(checkpoints)) return true;
  // Half a checkpoint, which a kill leaves, ends in .tmp; the checkpoint of the start holds no step.
  return std::ranges::all_of(entries_of(checkpoints), [](const fs::path& found) {
    return found.extension() == ".tmp" || found.filename() == "step_00000000";
  });
}

void remove_record(const fs::path& folder) {
  for (const char* name : {"log.jsonl", "eval.jsonl", "checkpoints", "model.safetensors", "manifest.json"}) {
    std::error_code problem;
    fs::remove_all(folder / name, problem);
    if (problem) fail_run((folder / name).string(), "to remove the remains of a stopped run", problem.message());
  }
}

}  // namespace isoloss
