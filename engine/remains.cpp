#include "engine/remains.h"

#include <system_error>

#include "engine/run_record.h"
#include "kernels/core/error.h"

namespace isoloss {

namespace fs = std::filesystem;

bool stopped_before_first_checkpoint(const fs::path& folder) {
  if (!fs::exists(folder / "manifest.json") || fs::exists(folder / "model.safetensors")) return false;
  if (read_manifest(folder).status != RunStatus::running) return false;
  const fs::path checkpoints = folder / "checkpoints";
  std::error_code problem;
  fs::directory_iterator entry(checkpoints, problem);
  // Half a checkpoint, which a kill leaves, ends in .tmp; the checkpoint of the start holds no step.
  const auto is_nothing = [](const fs::directory_entry& found) {
    return found.path().extension() == ".tmp" || found.path().filename() == "step_00000000";
  };
  bool none = true;
  for (; !problem && none && entry != fs::directory_iterator(); entry.increment(problem)) none = is_nothing(*entry);
  if (problem && problem != std::errc::no_such_file_or_directory) {
    fail_input(checkpoints.string(), "a folder that can be read", problem.message());
  }
  return none;
}

void remove_record(const fs::path& folder) {
  for (const char* name : {"log.jsonl", "eval.jsonl", "checkpoints", "model.safetensors", "manifest.json"}) {
    std::error_code problem;
    fs::remove_all(folder / name, problem);
    if (problem) fail_run((folder / name).string(), "to remove the remains of a stopped run", problem.message());
  }
}

}  // namespace isoloss
