// A sweep as text, before it runs: the plan for a person.
#pragma once

#include <string>

#include "tools/sweep/board.h"

namespace isoloss {

/// One line per run (folder, steps, tokens, state) and the sums. Of a cell whose learning rate is not known yet the
/// counted runs stand there all the same.
std::string plan_text(const Board& board);

/// `text` as one word of a shell command.
std::string shell_word(const std::string& text);

}  // namespace isoloss
