#include "tools/sweep/slurm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>

#include "tools/sweep/listing.h"

namespace isoloss {

namespace {

constexpr std::size_t kMostElements = 1000;  // MaxArraySize, which bounds the index, is 1001 by default

/// What follows the list of runs in every script.
constexpr std::string_view kEnd = R"(read -ra patterns <<< "${runs[$SLURM_ARRAY_TASK_ID]}"

# Near the time limit the run finishes its step and writes a checkpoint, and this task goes back into the queue. What
# scancel stops stays stopped: its SIGTERM reaches every process of the job. A trap waits for a program in the foreground.
time_is_up=no sweep=
trap 'time_is_up=yes; [ -z "$sweep" ] || kill -TERM "$sweep"' USR1
trap : TERM
)";

constexpr std::string_view kWait = R"(sweep=$!
[ "$time_is_up" = no ] || kill -TERM "$sweep"
wait "$sweep"
while kill -0 "$sweep" 2> /dev/null; do wait "$sweep"; done
wait "$sweep"; code=$?
if [ "$time_is_up" = yes ] && [ "$code" -ge 128 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" && exit
  echo "error: [scontrol] expected a task that goes back into the queue, got none; sbatch this script again" >&2
fi
exit "$code"
)";

/// For each element of the array the globs of its runs.
std::vector<std::string> elements(const Board& board) {
  std::vector<std::vector<std::string>> jobs;
  std::map<std::size_t, std::size_t> job_of_cell;
  std::map<std::size_t, bool> whole;  // whether every run of the cell was asked for
  const bool tunes = board.plan().suite.tunes();
  for (const Task& task : board.tasks()) {
    if (!task.candidate) whole.try_emplace(task.cell, true).first->second &= task.asked;
  }
  for (const Task& task : board.tasks()) {
    if (task.candidate || task.over() || !task.asked) continue;
    const auto folder = board.name(task);
    const auto [known, first] = job_of_cell.try_emplace(task.cell, jobs.size());
    if (first || !tunes) known->second = jobs.size(), jobs.emplace_back();
    if (!tunes || !whole[task.cell]) {
      jobs[known->second].push_back(folder.generic_string());
    } else if (first) {
      jobs.back().push_back((folder.parent_path() / "*").generic_string());
    }
  }
  std::vector<std::string> all(std::min(jobs.size(), kMostElements));
  for (std::size_t job = 0; job < jobs.size(); ++job) {
    std::string& element = all[job % kMostElements];
    for (const std::string& pattern : jobs[job]) element += (element.empty() ? "" : " ") + pattern;
  }
  return all;
}

std::string head(const Board& board, const SlurmOptions& options, std::size_t count) {
  const std::string name = folder_name(board.plan().suite.file.stem().string());
  std::string text = "#!/bin/bash\n";
  text += fmt::format("#SBATCH --job-name={}\n", name.empty() ? "sweep" : name);
  text += fmt::format("#SBATCH --array=0-{}\n", count - 1);
  text += "#SBATCH --ntasks=1\n";
  text += fmt::format("#SBATCH --cpus-per-task={}\n", options.threads);
  if (options.device == "cuda") text += "#SBATCH --gpus-per-task=1\n";
  text += "#SBATCH --output=slurm-%A_%a.log\n#SBATCH --open-mode=append\n#SBATCH --requeue\n";
  text += "# Two to three minutes before the time limit; more where a step and a checkpoint take longer.\n";
  return text + "#SBATCH --signal=B:USR1@120\n";
}

}  // namespace

std::string slurm_text(const Board& board, const SlurmOptions& options) {
  const std::vector<std::string> all = elements(board);
  if (all.empty()) return {};
  std::string text = head(board, options, all.size());
  // Relative paths of --set start where this script was made, not where it is submitted.
  text += fmt::format("cd {} || exit\n\nruns=(\n", shell_word(std::filesystem::current_path().string()));
  for (const std::string& element : all) text += fmt::format("  {}\n", shell_word(element));
  text += ")\n";
  text += kEnd;
  text +=
      fmt::format("{} {} --out {} --threads \"${{SLURM_CPUS_PER_TASK:-{}}}\" --device {}", shell_word(options.program),
                  shell_word(options.suite), shell_word(options.out), options.threads, options.device);
  if (!options.train.empty()) text += fmt::format(" --train {}", shell_word(options.train));
  for (const std::string& set : options.set) text += fmt::format(" --set {}", shell_word(set));
  if (options.any_tokenizer) text += " --any-tokenizer";
  text += " \"${patterns[@]/#/--only=}\" &\n";
  text += kWait;
  return text;
}

}  // namespace isoloss
