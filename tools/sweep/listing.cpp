#include "tools/sweep/listing.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/program.h"

namespace isoloss {

namespace {

const PlannedRun& planned(const Board& board, const Task& task) {
  const Cell& cell = board.plan().cells[task.cell];
  return task.candidate ? cell.candidates[task.place]
                        : cell.runs[board.learning_rate(task.cell).value_or(0)][task.place];
}

}  // namespace

std::string plan_text(const Board& board) {
  std::size_t width = 0;
  for (const Task& task : board.tasks()) width = std::max(width, board.name(task).string().size());
  std::string text;
  double all_steps = 0, all_tokens = 0;
  std::size_t runs = 0, done = 0;
  for (const Task& task : board.tasks()) {
    if (!task.asked) continue;
    const TrainingConfig& run = planned(board, task).configuration.run.run;
    const double steps = static_cast<double>(run.steps), tokens = steps * static_cast<double>(run.batch_tokens);
    // The best run of a search is the first seed's counted run: it is made once.
    const bool counted_before = !task.candidate && task.place == 0 && board.plan().suite.tunes();
    if (!counted_before) all_steps += steps, all_tokens += tokens, ++runs, done += task.done() ? 1 : 0;
    text += fmt::format("{:<{}}  {:>9} steps  {:>14} tokens  {}\n", board.name(task).generic_string(), width,
                        grouped(steps), grouped(tokens),
                        counted_before && task.state == TaskState::waiting ? "best of its search"
                        : task.state == TaskState::kept                    ? "finished"
                                                                           : name_of(task.state));
  }
  return text + fmt::format("{} runs, {} finished; {} steps, {} tokens\n", runs, done, grouped(all_steps),
                            grouped(all_tokens));
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=+,:@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word + "'";
}

}  // namespace isoloss
