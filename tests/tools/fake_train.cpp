// Stands in for `train` in the tests of `sweep`: the same command line, record, checkpoints, signals and exit codes,
// but its loss is a formula. FAKE_TRAIN_STEP_MS slows it down; FAKE_TRAIN_FAIL makes runs fail whose label contains the
// text; with FAKE_TRAIN_LOSS every loss is that number. A run's starts.txt says how it was started each time, its
// threads.txt with how many threads.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "engine/checkpoint.h"
#include "engine/run_record.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "models/config.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

volatile std::sig_atomic_t asked_to_stop = 0;

struct Arguments {
  std::string config, out, label, threads, device;
  bool resume = false, any_tokenizer = false;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--out") {
      arguments.out = argv[++i];
    } else if (word == "--sweep-label") {
      arguments.label = argv[++i];
    } else if (word == "--threads") {
      arguments.threads = argv[++i];
    } else if (word == "--device") {
      arguments.device = argv[++i];
    } else if (word == "--any-tokenizer") {
      arguments.any_tokenizer = true;
    } else if (word == "--resume") {
      arguments.resume = true;
    } else if (word != "--quiet") {
      arguments.config = word;
    }
  }
  return arguments;
}

/// Falls with the steps; best at a learning rate of 1e-3; no number at all above 1.
double loss_at(const Configuration& configuration, std::int64_t step) {
  const double rate = configuration.run.optimizer.learning_rate;
  if (rate > 1) return std::nan("");
  if (const char* loss = std::getenv("FAKE_TRAIN_LOSS")) return std::atof(loss);
  const double norm = configuration.model.norm == Norm::none ? 1.0 : 0.5;
  const double seed = 0.01 * static_cast<double>(configuration.run.run.seed % 10);
  return 2 + norm * std::exp(-0.05 * static_cast<double>(step)) + 0.1 * std::pow(std::log10(rate / 1e-3), 2) + seed;
}

void checkpoint(const RunRecord& record, const fs::path& run, std::int64_t step) {
  TrainingState state;
  state.step = step;
  state.record = record.mark();
  save_checkpoint(run, state, {}, {}, 2);
}

void evaluate(RunRecord& record, const Configuration& configuration, std::int64_t step) {
  EvalLine line;
  line.step = step;
  line.val_loss = loss_at(configuration, step);
  record.append(line);
}

int train(const Arguments& arguments) {
  const Configuration configuration = load_configuration(arguments.config);
  const fs::path run = arguments.out;
  std::ofstream(run / "starts.txt", std::ios::app) << (arguments.resume ? "resumed\n" : "started\n");
  std::ofstream(run / "threads.txt") << arguments.threads << "\n";
  if (arguments.any_tokenizer) std::ofstream(run / "any_tokenizer.txt") << "yes\n";
  const char* fail = std::getenv("FAKE_TRAIN_FAIL");
  if (fail != nullptr && arguments.label.find(fail) != std::string::npos) {
    fail_run("fake op", "to work", "a failure on purpose");
  }
  Manifest manifest;
  manifest.name = run.filename().string();
  manifest.config = to_json(configuration, run);
  manifest.seed = configuration.run.run.seed;
  manifest.sweep = arguments.label;
  manifest.device = arguments.device;
  for (const auto& [files, names] : {std::pair(&manifest.train, &configuration.run.data.train),
                                     std::pair(&manifest.val, &configuration.run.data.val)}) {
    for (const std::string& file : *names) {
      files->push_back({fs::path(file).filename().string(), sha256_of_file(file), fs::file_size(file) / 2});
    }
  }
  std::optional<Checkpoint> from;
  if (arguments.resume) from = latest_checkpoint(run, [](std::string_view) {}).value();
  RunRecord record = from ? RunRecord::resume(run, *from) : RunRecord::create(run, manifest);
  std::int64_t step = from ? from->state.step : 0;
  record.set_status(RunStatus::running);
  if (step == 0) evaluate(record, configuration, 0);

  const char* pause = std::getenv("FAKE_TRAIN_STEP_MS");
  const unsigned microseconds = pause != nullptr ? static_cast<unsigned>(1000 * std::atoi(pause)) : 0;
  while (step < configuration.run.run.steps) {
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));  // whole, whatever signals come
    LogLine line;
    line.step = ++step;
    line.loss = loss_at(configuration, step);
    record.append(line);
    if (!std::isfinite(line.loss)) {
      record.set_status(RunStatus::diverged);
      fail_run("loss", "a finite number", "nan");
    }
    const std::int64_t every = configuration.run.run.checkpoint_every;
    if (asked_to_stop != 0 || (every > 0 && step % every == 0)) {
      record.sync();
      checkpoint(record, run, step);
    }
    if (asked_to_stop != 0) {
      record.set_status(RunStatus::interrupted);
      return 130;
    }
  }
  evaluate(record, configuration, step);
  record.set_status(RunStatus::finished);
  return 0;
}

}  // namespace

}  // namespace isoloss

int main(int argc, char** argv) {
  std::signal(SIGTERM, [](int) { isoloss::asked_to_stop = 1; });
  try {
    return isoloss::train(isoloss::parse(argc, argv));
  } catch (const isoloss::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return error.exit_code();
  }
}
