#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/parallel.h"
#include "tools/common/program.h"
#include "tools/common/shared_files.h"
#include "tools/common/usage.h"
#include "tools/sweep/agreement.h"
#include "tools/sweep/board.h"
#include "tools/sweep/display.h"
#include "tools/sweep/listing.h"
#include "tools/sweep/plan.h"
#include "tools/sweep/scheduler.h"
#include "tools/sweep/slurm.h"
#include "tools/sweep/suite.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr int kMostJobs = 1024;  // beyond, --jobs is a mistake

struct Options {
  std::string suite, out, slurm, train;
  std::vector<std::string> only, set;
  std::string device = "auto";
  int jobs = 1, threads = 0;
  bool dry_run = false, any_tokenizer = false;
};

/// A missing tokenizer or shard shows before anything starts, not in the first run of the last variant.
void check_data(const Plan& plan, bool any_tokenizer) {
  TokenizerRule rule;
  rule.any = any_tokenizer;
  for (const Cell& cell : plan.cells) {
    Configuration configuration = cell.runs.front().front().configuration;
    if (configuration.run.data.train.empty() || configuration.run.data.val.empty()) {
      const bool train = configuration.run.data.train.empty();
      fail_input(fmt::format("{}: {}", plan.suite.file.string(), train ? "data.train" : "data.val"),
                 "shards, as a key of the suite or with --set", "none");
    }
    resolve_vocab(configuration, {}, rule);
  }
}

fs::path train_program(const Options& options) {
  const fs::path program = options.train.empty() ? own_path().parent_path() / "train" : fs::path(options.train);
  if (!fs::is_regular_file(program)) fail_run(program.string(), "the program train beside sweep", "none");
  return fs::absolute(program);
}

void report(const Board& board, int code) {
  if (code == kInterrupted) {
    say(fmt::format("stopped after {}; the same command goes on", count_text(board)));
    return;
  }
  const Task* failed = nullptr;
  int failures = 0;
  for (const Task& task : board.tasks()) {
    if (task.failed() && ++failures == 1) failed = &task;
  }
  if (failed != nullptr) {
    fail_run(board.name(*failed).generic_string(), "every run to finish",
             fmt::format("{} failed, this one with: {}", failures, failed->error));
  }
  expect_comparable(board, true);
  const Plan& plan = board.plan();
  const bool comparable = std::ranges::any_of(board.tasks(), [&plan](const Task& task) {
    return !task.candidate && task.val_loss &&
           plan.suite.variants[plan.cells[task.cell].variant].name == plan.suite.baseline().name;
  });
  if (!comparable) {
    say("no run of the baseline is finished yet, so there is nothing to compare with");
    return;
  }
  fmt::print("ceg {} --baseline {}\n", shell_word(board.out().string()), shell_word(plan.suite.baseline().name));
}

void write_script(const Board& board, const Options& options, int all_threads) {
  const std::string train = options.train.empty() ? "" : fs::absolute(options.train).string();
  const std::string script = slurm_text(
      board, {own_path().string(), train, fs::absolute(suite_file(options.suite)).string(),
              fs::absolute(options.out).string(), options.device, all_threads, options.set, options.any_tokenizer});
  if (script.empty()) {
    const bool failed = std::ranges::any_of(board.tasks(), &Task::failed);
    say(fmt::format("every run is finished{}; {} is not written", failed ? " or has diverged" : "", options.slurm));
  } else {
    write_file_atomically(options.slurm, script);
  }
}

int run(const Options& options) {
  std::vector<Override> overrides;
  for (const std::string& text : options.set) overrides.push_back({text, "--set", {}});
  const Plan plan = make_plan(read_suite(suite_file(options.suite)), overrides, options.out);
  for (const std::string& line : surprises(plan)) warn(line);
  Board board(plan, options.out, options.only);
  if (options.dry_run) {
    fmt::print("{}", plan_text(board));
    return 0;
  }
  check_data(plan, options.any_tokenizer);
  expect_comparable(board, false);
  const fs::path train = train_program(options);
  const int all_threads = options.threads > 0 ? options.threads : threads();
  if (!options.slurm.empty()) {
    write_script(board, options, all_threads);
    return 0;
  }
  const int jobs = std::min(options.jobs, all_threads);
  if (jobs < options.jobs) {
    warn(fmt::format("--jobs {} with {} threads: every run takes one at least, so {} at a time", options.jobs,
                     all_threads, jobs));
  }
  const int code = run_sweep(board, {train, jobs, all_threads / jobs, options.device, options.any_tokenizer});
  report(board, code);
  return code;
}

}  // namespace

}  // namespace isoloss

int main(int argc, char** argv) {
  using namespace isoloss;
  Options options;
  return run_program(
      argc, argv, "sweep", "Trains every variant of a suite at every scale with every seed; `ceg` makes the table.",
      "sweep models/suites/demo.toml --out runs/demo --jobs 2",
      [&options](CLI::App& app) {
        app.add_option("SUITE", options.suite,
                       "Suite file (TOML), or the name of one that comes with isoloss, such as demo")
            ->required()
            ->check(some_path());
        app.add_option("--out", options.out, "Folder of the sweep")->required()->check(some_path());
        app.add_option("--jobs", options.jobs, "Runs at a time; they share the threads, each with one at least")
            ->check(whole_number(1, kMostJobs));
        app.add_option("--threads", options.threads,
                       "Threads of all runs together; 0: all processors, or those of the Slurm job")
            ->check(whole_number<int>());
        app.add_option("--device", options.device, "As train's: auto, cpu, cuda, ref, check")
            ->check(one_of({"auto", "cpu", "cuda", "ref", "check"}));
        app.add_option("--set", options.set, "key=value for every run, on top of the suite")->take_all();
        app.add_option("--only", options.only,
                       "Only runs whose folder fits this glob, such as 'nano/*/seed1'; may repeat")
            ->allow_extra_args(false);
        CLI::Option* const dry_run = app.add_flag("--dry-run", options.dry_run, "Print the plan and start nothing");
        app.add_option("--slurm", options.slurm, "Write a Slurm array job to this file and start nothing")
            ->check(some_path())
            ->excludes(dry_run);
        app.add_flag("--any-tokenizer", options.any_tokenizer, "As train's: also shards of different tokenizers");
        app.add_option("--train", options.train, "The train program (default: beside sweep)")->group("");
      },
      [&options] { return run(options); });
}
