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

bool asked_for(const Task& task) { return task.state != TaskState::left_out; }

std::vector<std::string> array_patterns(const Board& board) {
  std::vector<std::string> patterns;
  for (const Task& task : board.tasks()) {
    if (task.candidate || task.done() || !asked_for(task)) continue;
    const auto folder = board.name(task);
    const std::string pattern =
        board.plan().suite.tunes() ? (folder.parent_path() / "*").generic_string() : folder.generic_string();
    if (std::ranges::find(patterns, pattern) == patterns.end()) patterns.push_back(pattern);
  }
  return patterns;
}

}  // namespace

std::string plan_text(const Board& board) {
  std::size_t width = 0;
  for (const Task& task : board.tasks()) width = std::max(width, board.name(task).string().size());
  std::string text;
  double all_steps = 0, all_tokens = 0;
  std::size_t runs = 0, done = 0;
  for (const Task& task : board.tasks()) {
    if (!asked_for(task)) continue;
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

std::string slurm_text(const Board& board, const SlurmOptions& options) {
  const std::vector<std::string> patterns = array_patterns(board);
  if (patterns.empty()) return {};
  std::string text = "#!/bin/bash\n";
  text += fmt::format("#SBATCH --job-name={}\n", folder_name(board.plan().suite.file.stem().string()));
  text += fmt::format("#SBATCH --array=0-{}\n", patterns.size() - 1);
  text += fmt::format("#SBATCH --cpus-per-task={}\n", options.threads);
  if (options.device == "cuda") text += "#SBATCH --gpus-per-task=1\n";
  text += "#SBATCH --output=slurm-%A_%a.log\n";
  text += "#SBATCH --requeue\n";
  text +=
      "# Two minutes before the time limit: finish the step and write a checkpoint; the next job goes on from there.\n";
  text += "#SBATCH --signal=B:TERM@120\n";
  // Relative paths of --set start where this script was made, not where it is submitted.
  text += fmt::format("set -euo pipefail\ncd {}\n\nruns=(\n", shell_word(std::filesystem::current_path().string()));
  for (const std::string& pattern : patterns) text += fmt::format("  {}\n", shell_word(pattern));
  text += fmt::format(")\n\nexec {} {} --out {} --threads {} --device {}", shell_word(options.program),
                      shell_word(options.suite), shell_word(options.out), options.threads, options.device);
  for (const std::string& set : options.set) text += fmt::format(" --set {}", shell_word(set));
  return text + " --only \"${runs[$SLURM_ARRAY_TASK_ID]}\"\n";
}

}  // namespace isoloss
