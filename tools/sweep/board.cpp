#include "tools/sweep/board.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/core/error.h"
#include "tools/sweep/run_folder.h"

namespace isoloss {

namespace fs = std::filesystem;

std::string_view name_of(TaskState state) {
  switch (state) {
    case TaskState::waiting:
      return "waiting";
    case TaskState::running:
      return "running";
    case TaskState::kept:
      return "kept";
    case TaskState::finished:
      return "finished";
    case TaskState::diverged:
      return "diverged";
    case TaskState::failed:
      return "failed";
    case TaskState::left_out:
      return "left out";
  }
  return "";
}

Board::Board(const Plan& plan, fs::path out, const std::string& only)
    : plan_(plan), out_(std::move(out)), chosen_(plan.cells.size()) {
  const std::size_t variants = plan.suite.variants.size();
  for (std::size_t first = 0; first < plan.cells.size(); first += variants) {  // cells of one scale
    for (std::size_t cell = first; cell < first + variants; ++cell) {
      for (std::size_t i = 0; i < plan.cells[cell].candidates.size(); ++i) tasks_.push_back({cell, true, i});
    }
    for (std::size_t seed = 0; seed < plan.cells[first].runs.front().size(); ++seed) {
      for (std::size_t cell = first; cell < first + variants; ++cell) tasks_.push_back({cell, false, seed});
    }
  }
  std::vector<bool> wanted(plan.cells.size(), false);
  for (Task& task : tasks_) {
    if (task.candidate) continue;
    if (only.empty() || ::fnmatch(only.c_str(), name(task).c_str(), 0) == 0) {
      wanted[task.cell] = true;
    } else {
      task.state = TaskState::left_out;
    }
  }
  if (std::ranges::find(wanted, true) == wanted.end()) {
    fail_input("--only", fmt::format("a pattern that fits a run such as {}", name(tasks_.back()).string()), only);
  }
  for (Task& task : tasks_) {
    if (!task.candidate) continue;
    task.run = &plan_.cells[task.cell].candidates[task.place];
    if (!wanted[task.cell]) task.state = TaskState::left_out;
    look(task);
  }
  for (std::size_t cell = 0; cell < plan_.cells.size(); ++cell) settle(cell);
}

fs::path Board::folder(const Task& task) const {
  const fs::path own = out_ / representative(task).folder;
  if (!task.candidate || fs::exists(own)) return own;
  // The winner of a search has moved to where its seed's counted run belongs.
  const PlannedRun& counted = plan_.cells[task.cell].runs[task.place].front();
  return holds(out_ / counted.folder, counted) ? out_ / counted.folder : own;
}

fs::path Board::name(const Task& task) const { return representative(task).folder; }

const PlannedRun& Board::representative(const Task& task) const {
  const Cell& cell = plan_.cells[task.cell];
  return task.candidate ? cell.candidates[task.place] : cell.runs[chosen_[task.cell].value_or(0)][task.place];
}

/// Takes the state of a task from its folder; a task left out keeps that state, but is checked all the same.
void Board::look(Task& task) {
  const fs::path place = folder(task);
  const Found found = inspect(place, *task.run);
  task.steps = found == Found::nothing ? 0 : steps_done(place);
  if (found != Found::finished && found != Found::diverged) return;
  task.val_loss = found == Found::finished ? last_validation_loss(place) : std::nullopt;
  if (task.state == TaskState::left_out) return;
  const bool new_here = task.state == TaskState::running;
  // Of a search, a diverged run is a result like any other; among the counted runs it leaves a hole.
  if (found == Found::finished) {
    task.state = new_here ? TaskState::finished : TaskState::kept;
  } else if (task.candidate) {
    task.state = TaskState::diverged;
  } else {
    task.state = TaskState::failed;
    task.error = "the run diverged; the same would happen again";
  }
}

/// Once a cell's learning rate can be known, its counted runs become startable.
void Board::settle(std::size_t cell) {
  if (chosen_[cell]) return;
  bool open = false, failed = false;
  for (const Task& task : tasks_) {
    if (task.cell != cell || !task.candidate) continue;
    open |= task.state == TaskState::waiting || task.state == TaskState::running || task.state == TaskState::left_out;
    failed |= task.state == TaskState::failed;
  }
  if (open) return;
  if (!failed) choose(cell);
  for (Task& task : tasks_) {
    if (task.cell != cell || task.candidate) continue;
    if (chosen_[cell]) {
      task.run = &representative(task);
      look(task);
    } else if (task.state == TaskState::waiting) {
      task.state = TaskState::failed;
      task.error = failed ? "a run of its search for a learning rate failed" : "every learning rate diverged";
    }
  }
}

/// The learning rate with the lowest final loss, the first of equal ones; its run becomes the first seed's counted run.
void Board::choose(std::size_t cell) {
  const Cell& planned = plan_.cells[cell];
  if (planned.candidates.empty()) {
    chosen_[cell] = 0;
    return;
  }
  double best = std::numeric_limits<double>::infinity();
  const Task* winner = nullptr;
  for (const Task& task : tasks_) {
    if (task.cell != cell || !task.candidate || !task.val_loss || !(*task.val_loss < best)) continue;
    best = *task.val_loss;
    winner = &task;
  }
  if (winner == nullptr) return;
  const fs::path from = folder(*winner), to = out_ / planned.runs[winner->place].front().folder;
  if (from != to) {
    std::error_code problem;
    if (fs::exists(to)) inspect(to, planned.runs[winner->place].front());  // says what is there instead
    fs::create_directories(to.parent_path(), problem);
    if (!problem) fs::rename(from, to, problem);
    if (problem) fail_run(to.string(), "room for the best run of the search", problem.message());
  }
  chosen_[cell] = winner->place;
}

std::optional<std::size_t> Board::next() const {
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i].state == TaskState::waiting && tasks_[i].run != nullptr) return i;
  }
  return std::nullopt;
}

void Board::started(std::size_t task) { tasks_[task].state = TaskState::running; }

void Board::stopped(std::size_t task) {
  refresh(task);
  tasks_[task].state = TaskState::waiting;
}

void Board::refresh(std::size_t task) {
  Task& running = tasks_[task];
  running.steps = std::max(running.steps, steps_done(folder(running)));
}

void Board::ended(std::size_t index, const std::string& error) {
  Task& task = tasks_[index];
  try {
    look(task);
  } catch (const Error& problem) {
    task.state = TaskState::failed;
    task.error = problem.what();
  }
  if (task.state == TaskState::running) {
    task.state = TaskState::failed;
    task.error = error;
  }
  if (task.candidate) settle(task.cell);
}

double Board::work_total() const {
  double total = 0;
  for (const Task& task : tasks_) {
    if (task.state != TaskState::left_out) total += work_of(representative(task).configuration);
  }
  return total;
}

double Board::work_done() const {
  double total = 0;
  for (const Task& task : tasks_) {
    if (task.state == TaskState::left_out) continue;
    const Configuration& configuration = representative(task).configuration;
    const double steps = static_cast<double>(configuration.run.run.steps);
    // A failed run will not go on: for the time left it counts as done.
    const bool over = task.done() || task.state == TaskState::failed;
    total += work_of(configuration) * (over ? 1 : std::min(1.0, static_cast<double>(task.steps) / steps));
  }
  return total;
}

}  // namespace isoloss
