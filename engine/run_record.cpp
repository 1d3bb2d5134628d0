#include "engine/run_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr const char* kManifest = "manifest.json";
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kCheckpoints = "checkpoints";

/// Shortest text that reads back as the same double; null for what JSON cannot say.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

}  // namespace

bool is_log_key(std::string_view name) {
  constexpr std::string_view kKeys[] = {"step", "tokens",    "flops",         "seconds",
                                        "loss", "grad_norm", "learning_rate", "tokens_per_second"};
  return std::ranges::find(kKeys, name) != std::end(kKeys);
}

std::string to_json(const LogLine& line) {
  std::string text = fmt::format(
      R"({{"step":{},"tokens":{},"flops":{},"seconds":{},"loss":{},"grad_norm":{},"learning_rate":{},"tokens_per_second":{})",
      line.step, line.tokens, number(line.flops), number(line.seconds), number(line.loss), number(line.grad_norm),
      number(line.learning_rate), number(line.tokens_per_second));
  for (const auto& [name, value] : line.metrics) text += fmt::format(R"(,"{}":{})", name, number(value));
  return text + "}";
}

std::string to_json(const EvalLine& line) {
  std::string blocks;
  for (const double loss : line.block_losses) blocks += (blocks.empty() ? "" : ",") + number(loss);
  return fmt::format(R"({{"step":{},"tokens":{},"flops":{},"seconds":{},"joules":{},"val_loss":{},"block_losses":{}}})",
                     line.step, line.tokens, number(line.flops), number(line.seconds),
                     line.joules ? number(*line.joules) : "null", number(line.val_loss),
                     line.block_losses.empty() ? "null" : "[" + blocks + "]");
}

namespace {

/// The part of a run's record that is in `folder`, "" without one.
std::string found_in(const fs::path& folder) {
  for (const char* name : {kManifest, kLogFile, kEvaluationFile, kCheckpoints, kWeights}) {
    std::error_code ignored;
    if (fs::exists(folder / name, ignored)) return name;
  }
  return {};
}

Manifest written(const fs::path& folder, Manifest manifest) {
  write_manifest(folder, manifest);
  return manifest;
}

/// Throws (exit 2) unless checkpoint, manifest and both records belong together.
void expect_one_run(const fs::path& folder, const Manifest& manifest, const Checkpoint& checkpoint) {
  const RecordMark& mark = *checkpoint.state.record;
  if (const std::string run = identity_of(manifest); mark.run != run) {
    fail_input(checkpoint.description().string(), "a checkpoint of the run " + run + ", which manifest.json describes",
               "one of the run " + mark.run);
  }
  const std::string said_by = checkpoint.description().string();
  expect_lines(folder / kLogFile, mark.lines.log, said_by);
  expect_lines(folder / kEvaluationFile, mark.lines.evaluations, said_by);
}

/// Step and loss of the last line of eval.jsonl.
struct LastEvaluation {
  std::int64_t step = -1;
  std::optional<double> val_loss;
};

LastEvaluation last_evaluation(const fs::path& path) {
  std::string text = read_file(path);
  if (text.empty()) return {};
  text.pop_back();
  const std::string where = path.string() + ", last line";
  const nlohmann::json line = parse_json(text.substr(text.find_last_of('\n') + 1), where, "a JSON object with a step");
  return read_json(where, "an evaluation", [&] {
    LastEvaluation last{integer_at<std::int64_t>(line, "step"), std::nullopt};
    const auto loss = line.find("val_loss");
    if (loss != line.end() && loss->is_number()) last.val_loss = loss->get<double>();
    return last;
  });
}

}  // namespace

void expect_records(const fs::path& folder, const Manifest& manifest) {
  if (!manifest.records) return;
  expect_digest(folder / kLogFile, manifest.records->log.digest, kManifest);
  expect_digest(folder / kEvaluationFile, manifest.records->evaluations.digest, kManifest);
}

void expect_finished_whole(const fs::path& folder, const Manifest& manifest) {
  expect_records(folder, manifest);
  if (manifest.weights) expect_digest(folder / kWeights, *manifest.weights, kManifest);
}

bool holds_run(const fs::path& folder) { return !found_in(folder).empty(); }

// The manifest comes before the cuts: it says of no record any more how it ends.
RunRecord::RunRecord(fs::path folder, Manifest manifest, Kept bytes)
    : folder_(std::move(folder)),
      manifest_(written(folder_, std::move(manifest))),
      log_(cut(folder_ / kLogFile, bytes.log)),
      evaluations_(cut(folder_ / kEvaluationFile, bytes.evaluations)),
      identity_(identity_of(manifest_)) {
  sync_directory(folder_);  // what sync() writes is of no use in files that a power cut leaves without names
}

RunRecord RunRecord::create(const fs::path& folder, const Manifest& manifest) {
  if (const std::string found = found_in(folder); !found.empty()) {
    fail_input(folder.string(), "a folder without a run (or --resume to go on with it)", "one that holds " + found);
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_run(folder.string(), "a folder that can be made", error.message());
  sync_directory(folder.has_parent_path() ? folder.parent_path() : fs::path("."));
  return RunRecord(folder, manifest, {});
}

RunRecord RunRecord::resume(const fs::path& folder, const Checkpoint& checkpoint) {
  Manifest manifest = read_manifest(folder);
  const fs::path log = folder / kLogFile, evaluations = folder / kEvaluationFile;
  Kept bytes;  // of both before one is cut
  if (checkpoint.state.record) {
    expect_one_run(folder, manifest, checkpoint);
    const RecordLines& lines = checkpoint.state.record->lines;
    bytes = {lines.log.digest.bytes, lines.evaluations.digest.bytes};
  } else {
    bytes = {bytes_until(log, checkpoint.state.step), bytes_until(evaluations, checkpoint.state.step)};
  }
  manifest.status = RunStatus::running;
  manifest.weights.reset();
  manifest.records.reset();
  RunRecord record(folder, std::move(manifest), bytes);
  const LastEvaluation last = last_evaluation(evaluations);
  record.last_evaluated_step_ = last.step, record.last_val_loss_ = last.val_loss;
  record.sync();
  return record;
}

void RunRecord::update(const Manifest& manifest) {
  write_manifest(folder_, manifest);
  manifest_ = manifest;
}

void RunRecord::set_status(RunStatus status) {
  Manifest manifest = manifest_;
  manifest.status = status;
  update(manifest);
}

void RunRecord::finish(const FileDigest& weights) {
  Manifest manifest = manifest_;
  manifest.status = RunStatus::finished;
  manifest.weights = weights;
  end(std::move(manifest));
}

void RunRecord::end_diverged() {
  Manifest manifest = manifest_;
  manifest.status = RunStatus::diverged;
  end(std::move(manifest));
}

void RunRecord::end(Manifest manifest) {
  sync();  // before the manifest speaks of the lines
  manifest.records = mark().lines;
  update(manifest);
}

void RunRecord::append(const LogLine& line) { log_.append(to_json(line)); }

void RunRecord::append(const EvalLine& line) {
  evaluations_.append(to_json(line));
  last_evaluated_step_ = line.step, last_val_loss_ = line.val_loss;
}

void RunRecord::sync() {
  log_.sync();
  evaluations_.sync();
}

RecordMark RunRecord::mark() const { return {identity_, {log_.mark(), evaluations_.mark()}}; }

}  // namespace isoloss
