// What a run leaves that was stopped before its first checkpoint: a record that nothing can go on from.
#pragma once

#include <filesystem>

namespace isoloss {

/// True for a run that its manifest calls running and that has no checkpoint, whole or damaged, of any step but 0.
/// Whoever asks holds the folder, so nothing runs there. A manifest that cannot be read is an input error.
bool stopped_before_first_checkpoint(const std::filesystem::path& folder);

/// Removes record, checkpoints and weights of a run, its manifest last: stopped on the way, it can be done again. Other
/// files stay. A file that cannot be removed is a run error.
void remove_record(const std::filesystem::path& folder);

}  // namespace isoloss
