// The state of a sweep: what is done, what can be started next, which learning rate won. It knows the disk, since that
// is where a stopped sweep left its state, but starts nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/sweep/plan.h"

namespace isoloss {

enum class TaskState {
  waiting,
  running,
  kept,      ///< was finished before this sweep started
  finished,  ///< by this sweep
  diverged,  ///< in a search for a learning rate, where that is a result like any other
  failed
};
std::string_view name_of(TaskState state);

/// One run to be made or found.
struct Task {
  std::size_t cell;
  bool candidate;                   ///< looks for a learning rate: its `place` is a learning rate, else a seed
  std::size_t place;                ///< index into the cell's candidates, or into its seeds
  bool asked = true;                ///< by --only; another sweep may work on one that is not
  const PlannedRun* run = nullptr;  ///< empty until the cell's learning rate is known
  TaskState state = TaskState::waiting;
  std::int64_t steps = 0;            ///< done so far
  std::optional<double> val_loss{};  ///< the last one; absent also when it is no number
  std::string error{};               ///< why it failed, one line
  /// The folder's last change when another sweep's run was looked at.
  std::optional<std::filesystem::file_time_type> seen{};

  bool done() const { return state == TaskState::kept || state == TaskState::finished || state == TaskState::diverged; }
  bool over() const { return done() || state == TaskState::failed; }
  bool failed() const { return asked && state == TaskState::failed; }
};

class Board {
 public:
  /// Looks at every run folder below `out` and changes nothing there. `only` are globs over the folders of the counted
  /// runs ("nano/*/seed1"), none for all runs; the search for a learning rate goes with the runs that need it. Throws
  /// (exit 2) when a folder holds another run than the plan means, or when a glob fits no run.
  Board(const Plan& plan, std::filesystem::path out, const std::vector<std::string>& only);

  const Plan& plan() const { return plan_; }
  const std::filesystem::path& out() const { return out_; }
  /// In the order in which they are started: scale by scale, searches first, then all variants seed by seed, so that a
  /// sweep stopped halfway can already be compared.
  const std::vector<Task>& tasks() const { return tasks_; }
  std::filesystem::path folder(const Task& task) const;
  /// Folder below `out()` for messages, also while the learning rate is not known yet.
  std::filesystem::path name(const Task& task) const;
  /// Index of the learning rate that the counted runs of a cell use; empty until it is known.
  std::optional<std::size_t> learning_rate(std::size_t cell) const { return chosen_[cell]; }

  /// To be called before the first task is started: from here on the best run of a search moves to where its seed's
  /// counted run belongs, at once where the search is over. Throws (exit 1) where it cannot.
  void begin();
  /// Index of the next task that can be started; empty when there is none (now).
  std::optional<std::size_t> next() const;
  void started(std::size_t task);
  void stopped(std::size_t task);  ///< interrupted: it waits again
  /// Reads from the folder how far a running task is.
  void refresh(std::size_t task);
  /// The task has ended; looks at its folder. `error` says why in case it is not finished.
  void ended(std::size_t task, const std::string& error);

  /// Looks again at the runs that were not asked for, since other sweeps may work on them.
  void look_around();

  /// In the units of work_of, over all tasks asked for; runs of an unknown learning rate count like any.
  double work_done() const;
  double work_total() const;

 private:
  void ask(const std::vector<std::string>& only);
  void look(Task& task);
  bool look_carefully(Task& task);
  void settle(std::size_t cell);
  void choose(std::size_t cell);
  void move_winner(std::size_t cell) const;
  const PlannedRun& representative(const Task& task) const;

  const Plan& plan_;
  std::filesystem::path out_;
  std::vector<Task> tasks_;
  std::vector<std::optional<std::size_t>> chosen_;  ///< by cell
  std::vector<bool> wanted_;                        ///< by cell: whether a run of it was asked for
  bool begun_ = false;
};

/// What sweep.json says: every run with its state and loss, and each search with its losses and the winner.
std::string to_json(const Board& board);

}  // namespace isoloss
