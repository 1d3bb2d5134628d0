#include "tools/sweep/board.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "kernels/base/error.h"
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
  }
  return "";
}

Board::Board(const Plan& plan, fs::path out, const std::vector<std::string>& only)
    : plan_(plan), out_(std::move(out)), chosen_(plan.cells.size()), wanted_(plan.cells.size(), false) {
  const std::size_t variants = plan.suite.variants.size();
  for (std::size_t first = 0; first < plan.cells.size(); first += variants) {  // cells of one scale
    for (std::size_t cell = first; cell < first + variants; ++cell) {
      for (std::size_t i = 0; i < plan.cells[cell].candidates.size(); ++i) tasks_.push_back({cell, true, i});
    }
    for (std::size_t seed = 0; seed < plan.cells[first].runs.front().size(); ++seed) {
      for (std::size_t cell = first; cell < first + variants; ++cell) tasks_.push_back({cell, false, seed});
    }
  }
  ask(only);
  for (Task& task : tasks_) {
    if (!task.candidate) continue;
    task.run = &plan_.cells[task.cell].candidates[task.place];
    look_carefully(task);
  }
  for (std::size_t cell = 0; cell < plan_.cells.size(); ++cell) settle(cell);
}

void Board::ask(const std::vector<std::string>& only) {
  std::vector<bool> fits(only.size(), false);
  for (Task& task : tasks_) {
    if (task.candidate) continue;
    task.asked = only.empty();
    for (std::size_t i = 0; i < only.size(); ++i) {
      if (::fnmatch(only[i].c_str(), name(task).c_str(), 0) == 0) task.asked = fits[i] = true;
    }
    if (task.asked) wanted_[task.cell] = true;
  }
  if (const auto none = std::ranges::find(fits, false); none != fits.end()) {
    fail_input("--only", fmt::format("a pattern that fits a run such as {}", name(tasks_.back()).string()),
               only[static_cast<std::size_t>(none - fits.begin())]);
  }
  for (Task& task : tasks_) {
    if (task.candidate) task.asked = wanted_[task.cell];
  }
}

fs::path Board::folder(const Task& task) const {
  const Cell& cell = plan_.cells[task.cell];
  const fs::path own = out_ / representative(task).folder;
  if (cell.candidates.empty() || fs::exists(own / "manifest.json")) return own;
  // The winner of a search lies where the search made it, or has moved to where its seed's counted run belongs.
  if (task.candidate) {
    const PlannedRun& counted = cell.runs[task.place].front();
    return holds(out_ / counted.folder, counted) ? out_ / counted.folder : own;
  }
  if (task.place != 0 || !chosen_[task.cell]) return own;
  const fs::path made = out_ / cell.candidates[*chosen_[task.cell]].folder;
  return fs::exists(made / "manifest.json") ? made : own;
}

fs::path Board::name(const Task& task) const { return representative(task).folder; }

const PlannedRun& Board::representative(const Task& task) const {
  const Cell& cell = plan_.cells[task.cell];
  return task.candidate ? cell.candidates[task.place] : cell.runs[chosen_[task.cell].value_or(0)][task.place];
}

/// Takes the state of a task from its folder. One that was not asked for waits, unless its run is over.
void Board::look(Task& task) {
  const fs::path place = folder(task);
  const Found found = inspect(place, *task.run);
  task.steps = found == Found::nothing ? 0 : steps_done(place);
  if (found == Found::finished) {
    task.val_loss = final_loss(place, *task.run);
    task.state = task.state == TaskState::running ? TaskState::finished : TaskState::kept;
  } else if (found == Found::diverged && task.candidate) {
    task.state = TaskState::diverged;  // of a search, a result like any other
  } else if (found == Found::diverged) {
    task.state = TaskState::failed;  // a hole among the counted runs
    task.error = "the run diverged; the same would happen again";
  } else if (!task.asked) {
    task.error = last_error(place);
  }
}

/// Another sweep may be at work in a folder that was not asked for: what changes under the look is looked at again, now
/// or, once this sweep has begun, at the next occasion.
bool Board::look_carefully(Task& task) {
  try {
    look(task);
  } catch (const std::runtime_error&) {
    if (task.asked) throw;
    if (begun_) return false;
    look(task);
  }
  return true;
}

void Board::look_around() {
  for (Task& task : tasks_) {
    if (task.asked || task.over() || task.run == nullptr) continue;
    const auto change = last_change(out_ / representative(task).folder);
    // Where nothing is, there may have been the best run of a search that has moved.
    const bool same = change && task.seen == change;
    if (!same && look_carefully(task)) task.seen = change;
  }
  for (std::size_t cell = 0; cell < plan_.cells.size(); ++cell) settle(cell);
}

/// Once a cell's learning rate can be known, its counted runs become startable.
void Board::settle(std::size_t cell) {
  if (chosen_[cell]) return;
  bool open = false, failed = false;
  for (const Task& task : tasks_) {
    if (task.cell != cell || !task.candidate) continue;
    open |= task.state == TaskState::waiting || task.state == TaskState::running;
    failed |= task.state == TaskState::failed;
  }
  if (open) return;
  if (!failed) choose(cell);
  if (begun_ && wanted_[cell]) move_winner(cell);
  for (Task& task : tasks_) {
    if (task.cell != cell || task.candidate) continue;
    if (chosen_[cell]) {
      task.run = &representative(task);
      look_carefully(task);
    } else if (task.state == TaskState::waiting) {
      task.state = TaskState::failed;
      task.error = failed ? "a run of its search for a learning rate failed" : "every learning rate diverged";
    }
  }
}

/// The learning rate with the lowest final loss. Of equal ones it is the first in the suite, whichever ended first.
void Board::choose(std::size_t cell) {
  if (plan_.cells[cell].candidates.empty()) {
    chosen_[cell] = 0;
    return;
  }
  double best = std::numeric_limits<double>::infinity();
  for (const Task& task : tasks_) {
    if (task.cell != cell || !task.candidate || !task.val_loss || !(*task.val_loss < best)) continue;
    best = *task.val_loss;
    chosen_[cell] = task.place;
  }
}

/// The best run of a search becomes the first seed's counted run.
void Board::move_winner(std::size_t cell) const {
  const Cell& planned = plan_.cells[cell];
  if (planned.candidates.empty() || !chosen_[cell]) return;
  const PlannedRun& counted = planned.runs[*chosen_[cell]].front();
  const fs::path from = out_ / planned.candidates[*chosen_[cell]].folder, to = out_ / counted.folder;
  if (!fs::exists(from / "manifest.json")) return;  // it has moved
  std::error_code problem;
  if (fs::exists(to)) inspect(to, counted);  // says what is there instead
  fs::create_directories(to.parent_path(), problem);
  if (!problem) fs::rename(from, to, problem);
  if (problem && !holds(to, counted)) {  // unless another sweep has moved it
    fail_run(to.string(), "room for the best run of the search", problem.message());
  }
}

void Board::begin() {
  begun_ = true;
  for (std::size_t cell = 0; cell < plan_.cells.size(); ++cell) {
    if (wanted_[cell]) move_winner(cell);
  }
}

std::optional<std::size_t> Board::next() const {
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (tasks_[i].asked && tasks_[i].state == TaskState::waiting && tasks_[i].run != nullptr) return i;
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
    if (task.asked) total += work_of(representative(task).configuration);
  }
  return total;
}

double Board::work_done() const {
  double total = 0;
  for (const Task& task : tasks_) {
    if (!task.asked) continue;
    const Configuration& configuration = representative(task).configuration;
    const double steps = static_cast<double>(configuration.run.run.steps);
    // A failed run will not go on: for the time left it counts as done.
    total += work_of(configuration) * (task.over() ? 1 : std::min(1.0, static_cast<double>(task.steps) / steps));
  }
  return total;
}

}  // namespace isoloss
