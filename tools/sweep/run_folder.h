// What a run's folder tells about the run: how far it is, how it ended, whether it is the run that the plan means.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "tools/sweep/plan.h"

namespace isoloss {

enum class Found {
  nothing,   ///< no run
  begun,     ///< running, stopped or killed
  finished,  ///< ended well
  diverged   ///< ended with a loss that is no number; the same bits would come out again
};

/// Whether the run in `folder` has the configuration and the label that are planned; false when no run is there.
bool holds(const std::filesystem::path& folder, const PlannedRun& planned);

/// Looks into `folder`. Throws (exit 2) naming the folder and the first key that differs when the run in it has another
/// configuration than the planned one, and when its manifest cannot be read.
Found inspect(const std::filesystem::path& folder, const PlannedRun& planned);

/// Whether a run that was begun has a whole checkpoint to go on from. `passed_over` is told, in one line, of each that
/// is not whole.
bool resumable(const std::filesystem::path& folder, const std::function<void(std::string_view)>& passed_over);

/// When the run last showed how it stands, by its manifest or its messages; nothing where there are neither.
std::optional<std::filesystem::file_time_type> last_change(const std::filesystem::path& folder);

/// Steps done according to the last whole line of log.jsonl; 0 when there is none. Cheap: reads the end of the file.
std::int64_t steps_done(const std::filesystem::path& folder);

/// `val_loss` of a finished run, from the last line of eval.jsonl. Throws (exit 2) when that line is not of the last
/// step: a record cut short would give the loss of an earlier one.
double final_loss(const std::filesystem::path& folder, const PlannedRun& planned);

/// The last `error: …` line of the run's train.log without the leading word; "" when there is none.
std::string last_error(const std::filesystem::path& folder);

}  // namespace isoloss
