#include "kernels/base/json_text.h"
#include "tools/sweep/board.h"

namespace isoloss {

namespace {

using nlohmann::ordered_json;

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

/// The same whichever sweep writes it, but for runs that are at work: those of other sweeps are left out.
std::string_view state_of(const Task& task) {
  if (task.state == TaskState::kept) return name_of(TaskState::finished);
  if (task.asked || task.over()) return name_of(task.state);
  return task.error.empty() ? "left out" : name_of(TaskState::failed);
}

ordered_json describe(const Board& board, const Task& task) {
  const auto& cell = board.plan().cells[task.cell];
  auto out = parse_json<ordered_json>((task.candidate ? cell.candidates : cell.runs[0])[task.place].label, "suite");
  out["learning_rate"] = task.run != nullptr ? or_null(task.run->learning_rate) : ordered_json();
  const auto place =
      task.candidate && !task.done() ? board.name(task) : board.folder(task).lexically_relative(board.out());
  out["folder"] = place.generic_string();
  out["state"] = state_of(task);
  out["steps"] = task.steps;
  out["val_loss"] = or_null(task.val_loss);
  if (!task.error.empty()) out["error"] = task.error;
  return out;
}

}  // namespace

std::string to_json(const Board& board) {
  const Suite& suite = board.plan().suite;
  ordered_json runs = ordered_json::array(), searches = ordered_json::array();
  for (const Task& task : board.tasks()) {
    if (!task.candidate) runs.push_back(describe(board, task));
  }
  for (std::size_t cell = 0; cell < board.plan().cells.size() && suite.tunes(); ++cell) {
    ordered_json candidates = ordered_json::array();
    for (const Task& task : board.tasks()) {
      if (task.cell == cell && task.candidate) candidates.push_back(describe(board, task));
    }
    const auto best = board.learning_rate(cell);
    searches.push_back({{"scale", suite.scales[board.plan().cells[cell].scale].name},
                        {"variant", suite.variants[board.plan().cells[cell].variant].name},
                        {"best", best ? ordered_json(suite.learning_rates[*best]) : ordered_json()},
                        {"candidates", std::move(candidates)}});
  }
  ordered_json out = {{"format", 1},
                      {"suite", suite.file.filename().string()},
                      {"baseline", suite.baseline().name},
                      {"runs", std::move(runs)},
                      {"learning_rate_searches", std::move(searches)}};
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace isoloss
