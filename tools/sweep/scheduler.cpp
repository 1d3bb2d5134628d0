#include "tools/sweep/scheduler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/file.h"
#include "tools/common/program.h"
#include "tools/sweep/child.h"
#include "tools/sweep/display.h"
#include "tools/sweep/run_folder.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr unsigned kPollMicroseconds = 50'000;

std::string ending(int code) {
  if (code > 128 && code != kInterrupted) return fmt::format("train was killed by signal {}", code - 128);
  return fmt::format("train ended with exit code {} before the run was finished", code);
}

class Scheduler {
 public:
  Scheduler(Board& board, const ScheduleOptions& options) : board_(board), options_(options), display_(board) {}

  int run() {
    save();
    bool stopping = false;
    for (;;) {
      if (interrupted() && !std::exchange(stopping, true)) {
        for (Running& running : running_) running.child.stop();
      }
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
    save();
    if (stopping) return kInterrupted;
    return std::ranges::any_of(board_.tasks(), [](const Task& task) { return task.state == TaskState::failed; });
  }

 private:
  struct Running {
    std::size_t task;
    double start;
    Child child;
  };

  /// Other sweeps may write for the same folder (--slurm), so one at a time.
  void save() {
    const FolderLock lock(board_.out());
    write_file_atomically(board_.out() / "sweep.json", to_json(board_));
  }

  void start(std::size_t index) {
    const Task& task = board_.tasks()[index];
    board_.started(index);
    try {
      const fs::path folder = board_.folder(task);
      const FolderLock lock(folder);
      const Found found = inspect(folder, *task.run);  // again: another sweep may have been here
      if (found == Found::finished || found == Found::diverged) return end(index, "", 0);
      if (found == Found::nothing) remove_record(folder);
      write_file_atomically(folder / "config.toml", task.run->config_text);
      running_.push_back({index, now_seconds(), Child(command(task, folder, found), folder / "train.log", lock)});
    } catch (const Error& error) {
      end(index, error.what(), 0);
    }
  }

  std::vector<std::string> command(const Task& task, const fs::path& folder, Found found) const {
    std::vector<std::string> words = {options_.train.string(),
                                      (folder / "config.toml").string(),
                                      "--out",
                                      folder.string(),
                                      "--device",
                                      options_.device,
                                      "--threads",
                                      std::to_string(std::max(1, options_.threads / options_.jobs)),
                                      "--sweep-label",
                                      task.run->label,
                                      "--quiet"};
    if (found == Found::resumable) words.emplace_back("--resume");
    return words;
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
      if (stopping && *code == kInterrupted) {
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
