// Starts the runs of a sweep, a few at a time, and sees them through.
#pragma once

#include <filesystem>
#include <string>

#include "tools/sweep/board.h"

namespace isoloss {

struct ScheduleOptions {
  std::filesystem::path train;  ///< the program
  int jobs = 1;                 ///< runs at a time
  int threads = 1;              ///< of each of them
  std::string device = "auto";
  bool any_tokenizer = false;  ///< handed on
};

/// Works until nothing can be started any more, or until this process is interrupted: then every run finishes its step
/// and writes a checkpoint. A failed run does not stop the others. Keeps `sweep.json` up to date. Returns 0, 1 when
/// runs failed, or kInterrupted.
int run_sweep(Board& board, const ScheduleOptions& options);

}  // namespace isoloss
