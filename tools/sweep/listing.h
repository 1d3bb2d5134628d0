// A sweep as text, before it runs: the plan for a person, and an array job for Slurm.
#pragma once

#include <string>
#include <vector>

#include "tools/sweep/board.h"

namespace isoloss {

/// One line per run (folder, steps, tokens, state) and the sums. Of a cell whose learning rate is not known yet the
/// counted runs stand there all the same.
std::string plan_text(const Board& board);

struct SlurmOptions {
  std::string program, suite, out;  ///< absolute
  std::string device = "auto";
  int threads = 1;
  std::vector<std::string> set;  ///< --set arguments, passed on
};

/// A batch script with one array element per unfinished run, or per variant and scale where learning rates are searched
/// for, since those runs depend on each other. Empty when every run is finished.
std::string slurm_text(const Board& board, const SlurmOptions& options);

/// `text` as one word of a shell command.
std::string shell_word(const std::string& text);

}  // namespace isoloss
