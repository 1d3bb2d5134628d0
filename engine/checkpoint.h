// Checkpoints: RUN/checkpoints/step_XXXXXXXX/{model.safetensors, optimizer.safetensors, state.json}.
//
// A checkpoint is written into step_XXXXXXXX.tmp, state.json last, with the sizes and checksums of the two other files;
// then the folder is renamed. Whatever happens on the way, what carries a final name and agrees with its state.json is
// whole; anything else is passed over.
//
// state.json is under a checksum of its own. It also says whose checkpoint this is, and how far the record had come
// (record_file.h): what earlier versions (format 1) wrote has neither, and can still be gone on with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/record_file.h"
#include "engine/safetensors.h"

namespace isoloss {

/// What a run needs to go on, besides its tensors. All values survive the file bit for bit.
struct TrainingState {
  std::int64_t step = 0;  ///< finished updates
  std::int64_t tokens = 0;
  double flops = 0;
  double seconds = 0;  ///< device seconds spent training
  std::optional<double> joules;
  std::uint64_t seed = 0;
  std::optional<RecordMark> record;  ///< the run and its record as of this step; nothing: not known
  bool operator==(const TrainingState&) const = default;
};

/// Writes a checkpoint and then removes the oldest ones beyond `keep` (>= 1). When a whole checkpoint of this step is
/// there already, nothing is written. A full disk is a run error, and the earlier checkpoints stay. `origin` is what
/// the weights say about themselves (saved_weights.h).
void save_checkpoint(const std::filesystem::path& run, const TrainingState& state, std::vector<NamedTensor> model,
                     std::vector<NamedTensor> optimizer, std::int64_t keep,
                     const std::map<std::string, std::string>& origin = {});

/// A checkpoint whose files agree with its state.json.
struct Checkpoint {
  std::filesystem::path folder;
  TrainingState state;
  std::filesystem::path model() const { return folder / "model.safetensors"; }
  std::filesystem::path optimizer() const { return folder / "optimizer.safetensors"; }
  std::filesystem::path description() const { return folder / "state.json"; }
};

/// Reads state.json and verifies both files; anything torn or foreign is an input error.
Checkpoint open_checkpoint(const std::filesystem::path& folder);

/// The newest whole checkpoint of a run; `passed_over` is told, in one line, of each newer one that is not whole.
std::optional<Checkpoint> latest_checkpoint(const std::filesystem::path& run,
                                            const std::function<void(std::string_view)>& passed_over);

}  // namespace isoloss
