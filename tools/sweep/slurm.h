// A sweep as an array job for Slurm.
#pragma once

#include <string>
#include <vector>

#include "tools/sweep/board.h"

namespace isoloss {

struct SlurmOptions {
  std::string program, train, suite, out;  ///< absolute
  std::string device = "auto";
  int threads = 1;
  std::vector<std::string> set;  ///< --set arguments, passed on
  bool any_tokenizer = false;    ///< passed on
};

/// A batch script with one array element per unfinished run, or per variant and scale where learning rates are searched
/// for, since those runs depend on each other. Beyond 1000 of them an element gets several, one after the other,
/// because Slurm takes no index above 1000 unless it was told to. Empty when there is nothing to run.
std::string slurm_text(const Board& board, const SlurmOptions& options);

}  // namespace isoloss
