// The record of a run: runs/NAME with manifest.json, log.jsonl and eval.jsonl. It is the only thing that passes from
// training to `ceg`.
//
// Nothing in it depends on time or place except `seconds`, `joules` and `tokens_per_second`, and in the manifest
// `hardware` and `threads`, without which seconds mean nothing. There are no dates. A number that is absent or not
// finite is null.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/record_file.h"
#include "engine/run_manifest.h"

namespace isoloss {

/// One line of log.jsonl.
struct LogLine {
  std::int64_t step = 0;  ///< finished updates: 1 after the first
  std::int64_t tokens = 0;
  double flops = 0, seconds = 0;
  double loss = 0;       ///< before the update, nats per token, mean over the micro-batches
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0, tokens_per_second = 0;
  std::vector<std::pair<std::string, double>> metrics = {};  ///< of the model, by their keys; most models have none
};

/// One line of eval.jsonl.
struct EvalLine {
  std::int64_t step = 0, tokens = 0;
  double flops = 0, seconds = 0;
  std::optional<double> joules;
  double val_loss = 0;
  /// Mean losses of up to 64 contiguous blocks of the evaluation set, for the noise of the evaluation; may be empty.
  std::vector<double> block_losses;
};

/// Whether every line of log.jsonl has a key of that name, which no metric can have then.
bool is_log_key(std::string_view name);
std::string to_json(const LogLine& line);
std::string to_json(const EvalLine& line);

/// Throws (exit 2) naming the file unless both files of the record are what the manifest says of a run that has ended.
/// It says nothing of a run under way, or of one of an earlier version.
void expect_records(const std::filesystem::path& folder, const Manifest& manifest);
/// As expect_records, and the weights, too.
void expect_finished_whole(const std::filesystem::path& folder, const Manifest& manifest);

/// True when `folder` already holds a run or the remains of one.
bool holds_run(const std::filesystem::path& folder);

/// Writes the record of one run.
class RunRecord {
 public:
  /// A new run. Makes the folder; a folder that holds a run is an input error.
  static RunRecord create(const std::filesystem::path& folder, const Manifest& manifest);
  /// Goes on after a checkpoint: lines past it are cut, all earlier ones stay byte for byte. A record that is not the
  /// one that the checkpoint was written beside is an input error, and is left as it is. Where the checkpoint does not
  /// say (one of an earlier version), lines past its step and a torn last line are cut, and a line before that which is
  /// no JSON object with a step is an input error with file and line number.
  static RunRecord resume(const std::filesystem::path& folder, const Checkpoint& checkpoint);
  RunRecord(RunRecord&&) noexcept = default;
  RunRecord& operator=(RunRecord&&) = delete;
  RunRecord(const RunRecord&) = delete;
  RunRecord& operator=(const RunRecord&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  /// Replaces manifest.json, atomically.
  void update(const Manifest& manifest);
  void set_status(RunStatus status);
  /// The run has diverged: nothing more is written, so the manifest keeps how the record ends.
  void end_diverged();
  /// The run is finished, with these weights in model.safetensors; the manifest keeps how the record ends, too.
  void finish(const FileDigest& weights);

  /// Appends one line with a single write; a full disk is a run error and leaves no half line behind.
  void append(const LogLine& line);
  void append(const EvalLine& line);
  /// Step of the newest line of eval.jsonl, -1 when there is none: a resumed run does not evaluate that step again.
  std::int64_t last_evaluated_step() const { return last_evaluated_step_; }
  /// Its loss.
  std::optional<double> last_val_loss() const { return last_val_loss_; }
  /// fsync of both files; call before each checkpoint, so that a checkpoint never knows more than the record.
  void sync();
  /// The lines until now.
  RecordMark mark() const;

 private:
  /// Keeps the first bytes of the files that are there.
  struct Kept {
    std::uint64_t log = 0, evaluations = 0;
  };
  RunRecord(std::filesystem::path folder, Manifest manifest, Kept bytes);
  void end(Manifest manifest);
  std::filesystem::path folder_;
  Manifest manifest_;
  RecordFile log_, evaluations_;
  std::string identity_;
  std::int64_t last_evaluated_step_ = -1;  ///< of eval.jsonl
  std::optional<double> last_val_loss_;
};

}  // namespace isoloss
