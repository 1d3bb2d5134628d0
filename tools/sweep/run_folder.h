// What a run's folder tells about the run: how far it is, how it ended, whether it is the run that the plan means.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "tools/sweep/plan.h"

namespace isoloss {

enum class Found {
  nothing,    ///< no run, or remains without a checkpoint: to be started from the beginning
  resumable,  ///< stopped, with a whole checkpoint
  finished,   ///< ended well
  diverged    ///< ended with a loss that is no number; the same bits would come out again
};

/// Whether the run in `folder` has the configuration and the label that are planned; false when no run is there.
bool holds(const std::filesystem::path& folder, const PlannedRun& planned);

/// Looks into `folder`. Throws (exit 2) naming the folder and the first key that differs when the run in it has another
/// configuration than the planned one, and when its manifest cannot be read.
Found inspect(const std::filesystem::path& folder, const PlannedRun& planned);

/// Steps done according to the last whole line of log.jsonl; 0 when there is none. Cheap: reads the end of the file.
std::int64_t steps_done(const std::filesystem::path& folder);

/// `val_loss` of the last line of eval.jsonl; nothing when there is none or it is no number.
std::optional<double> last_validation_loss(const std::filesystem::path& folder);

/// The last `error: …` line of the run's train.log without the leading word; "" when there is none.
std::string last_error(const std::filesystem::path& folder);

/// Removes what `train` wrote into the folder, and nothing else, so that the run can start from the beginning.
void remove_record(const std::filesystem::path& folder);

}  // namespace isoloss
