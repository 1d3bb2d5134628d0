// Holding a run's or a sweep's folder, with this program's warnings and signals.
#pragma once

#include <filesystem>

#include "kernels/base/file_lock.h"

namespace isoloss {

/// Holds the folder for this process; waits so long, or until a signal, for another holder, then throws (exit 1). That
/// the file system has no locks is warned of once a program.
FolderLock lock_folder(const std::filesystem::path& folder, double wait_seconds);

}  // namespace isoloss
