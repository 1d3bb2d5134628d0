#include "tools/sweep/scheduler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <list>
#include <utility>
#include <vector>

#include "engine/remains.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "tools/common/lock.h"
#include "tools/common/program.h"
#include "tools/sweep/child.h"
#include "tools/sweep/display.h"
#include "tools/sweep/run_folder.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr unsigned kPollMicroseconds = 20'000;
constexpr unsigned kSignalsApart = 500'000;  // microseconds between the signals to a job's processes, at most
constexpr double kLongestWait = 10;  // seconds: a child whose sweep was killed needs a step and a checkpoint to leave
constexpr double kLongestWaitToSave = 60;  // many elements of an array may end, or be stopped, together

std::string ending(int code) {
  if (code > 128 && code != kInterrupted) return fmt::format("train was killed by signal {}", code - 128);
  return fmt::format("train ended with exit code {} before the run was finished", code);
}

class Scheduler {
 public:
  Scheduler(Board& board, const ScheduleOptions& options) : board_(board), options_(options), display_(board) {}
  /// Whatever made this program leave: all runs are told to stop at once, and then each is waited for.
  ~Scheduler() { stop_all(); }
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  int run() {
    board_.begin();
    save();
    bool stopping = false;
    for (;;) {
      if (interrupted() && !std::exchange(stopping, true)) stop_all();
      while (!stopping && static_cast<int>(running_.size()) < options_.jobs) {
        const auto task = board_.next();
        if (!task) break;
        start(*task);
      }
      if (running_.empty() && (stopping || !board_.next())) break;
      collect(stopping);
      for (const Running& running : running_) board_.refresh(running.task);
      display_.update();
      ::usleep(kPollMicroseconds);
    }
    display_.finish();
    if (stopping) {
      save();  // of what was stopped
      return kInterrupted;
    }
    return std::ranges::any_of(board_.tasks(), &Task::failed);
  }

 private:
  struct Running {
    std::size_t task;
    double start;
    Child child;
  };

  void stop_all() {
    for (Running& running : running_) running.child.stop();
  }

  /// Other sweeps may write for the same folder (--slurm): one at a time, and each tells of all runs what it finds.
  void save() {
    board_.look_around();                                                       // most of it before anybody has to wait
    const FolderLock lock(board_.out(), {.wait_seconds = kLongestWaitToSave});  // not given up for a signal
    board_.look_around();
    write_file_atomically(board_.out() / "sweep.json", to_json(board_));
  }

  void start(std::size_t index) {
    const Task& task = board_.tasks()[index];
    board_.started(index);
    try {
      const fs::path folder = board_.folder(task);
      FolderLock lock = lock_folder(folder, kLongestWait);
      const Found found = inspect(folder, *task.run);  // again: another sweep may have been here
      if (found == Found::finished || found == Found::diverged) return end(index, "", 0);
      const bool resume =
          found == Found::begun && resumable(folder, [this](std::string_view why) { display_.warning(why); });
      if (!resume) remove_record(folder);
      write_file_atomically(folder / "config.toml", config_text(board_.plan().suite, *task.run, board_.out()));
      running_.push_back({index, now_seconds(), Child(command(task, folder, resume), folder / "train.log", lock)});
    } catch (const Error& error) {
      end(index, error.what(), 0);
    }
  }

  std::vector<std::string> command(const Task& task, const fs::path& folder, bool resume) const {
    std::vector<std::string> words = {options_.train.string(),
                                      (folder / "config.toml").string(),
                                      "--out",
                                      folder.string(),
                                      "--device",
                                      options_.device,
                                      "--threads",
                                      std::to_string(options_.threads),
                                      "--sweep-label",
                                      task.run->label,
                                      "--quiet"};
    if (options_.any_tokenizer) words.emplace_back("--any-tokenizer");
    if (resume) words.emplace_back("--resume");
    return words;
  }

  /// Whether a run ended because it was asked to. Who stops a whole job asks its runs as well, maybe first.
  static bool was_stopped(int code, bool stopping) {
    if (code != kInterrupted && code != 128 + SIGTERM) return false;
    if (!stopping && !interrupted()) ::usleep(kSignalsApart);
    return stopping || interrupted();
  }

  void collect(bool stopping) {
    for (auto running = running_.begin(); running != running_.end();) {
      const auto code = running->child.poll();
      if (!code) {
        ++running;
        continue;
      }
      const std::size_t task = running->task;
      const double seconds = now_seconds() - running->start;
      running = running_.erase(running);
      if (was_stopped(*code, stopping)) {
        board_.stopped(task);
        continue;
      }
      const std::string said = last_error(board_.folder(board_.tasks()[task]));
      end(task, said.empty() ? ending(*code) : said, seconds);
    }
  }

  void end(std::size_t task, const std::string& error, double seconds) {
    board_.ended(task, error);
    display_.ended(board_.tasks()[task], seconds);
    save();
  }

  Board& board_;
  const ScheduleOptions& options_;
  Display display_;
  std::list<Running> running_;
};

}  // namespace

int run_sweep(Board& board, const ScheduleOptions& options) { return Scheduler(board, options).run(); }

}  // namespace isoloss
