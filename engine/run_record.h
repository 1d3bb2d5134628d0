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
#include <vector>

namespace isoloss {

enum class RunStatus : std::uint8_t { running, finished, interrupted, diverged };
std::string_view name_of(RunStatus status);

/// One shard that the run read.
struct DataFileRecord {
  std::string file;  ///< name without folder
  std::string sha256;
  std::uint64_t tokens = 0;
};

/// Everything manifest.json says.
struct Manifest {
  std::string name;
  std::string config = "{}";         ///< a JSON object: to_json of models/config.h
  std::vector<std::string> toggles;  ///< the active toggles in words
  std::int64_t parameters_total = 0;
  std::int64_t parameters_active = 0;  ///< take part in each token: without embedding tables that are only looked up
  std::int64_t parameters_embedding = 0;
  double flops_per_token = 0;  ///< exact training FLOPs of one step over its tokens
  std::vector<DataFileRecord> train, val;
  std::string tokenizer_sha256;  ///< empty: unknown
  std::string eval_sha256;       ///< of the validation windows really evaluated
  std::uint64_t eval_tokens = 0, eval_windows = 0;
  std::uint64_t seed = 0;
  std::string init_file, init_sha256;  ///< weights that the run started from, without folder; empty: from the seed
  std::string device;
  int threads = 0;
  std::string cpu, gpu;  ///< names of the hardware; empty: none
  std::string version, commit, compiler;
  RunStatus status = RunStatus::running;
  std::string sweep;  ///< a JSON object {"variant", "class", "scale", "seed", "parts"}; empty: not part of a sweep
};

std::string to_json(const Manifest& manifest);
/// Reads manifest.json of the run in `folder`; input errors name the file and the key.
Manifest read_manifest(const std::filesystem::path& folder);

/// One line of log.jsonl.
struct LogLine {
  std::int64_t step = 0;  ///< finished updates: 1 after the first
  std::int64_t tokens = 0;
  double flops = 0, seconds = 0;
  double loss = 0;       ///< before the update, nats per token, mean over the micro-batches
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0, tokens_per_second = 0;
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

std::string to_json(const LogLine& line);
std::string to_json(const EvalLine& line);

/// True when `folder` already holds a run or the remains of one.
bool holds_run(const std::filesystem::path& folder);

/// Writes the record of one run.
class RunRecord {
 public:
  /// A new run. Makes the folder; a folder that holds a run is an input error.
  static RunRecord create(const std::filesystem::path& folder, const Manifest& manifest);
  /// Goes on after the checkpoint of `step`: lines past it and a torn last line are cut, all earlier ones stay byte for
  /// byte. A line before that which is no JSON object with a step is an input error with file and line number.
  static RunRecord resume(const std::filesystem::path& folder, std::int64_t step);
  ~RunRecord();
  RunRecord(RunRecord&& other) noexcept;
  RunRecord& operator=(RunRecord&&) = delete;
  RunRecord(const RunRecord&) = delete;
  RunRecord& operator=(const RunRecord&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  /// Replaces manifest.json, atomically.
  void update(const Manifest& manifest);
  void set_status(RunStatus status);

  /// Appends one line with a single write; a full disk is a run error and leaves no half line behind.
  void append(const LogLine& line);
  void append(const EvalLine& line);
  /// Step of the newest line of eval.jsonl, -1 when there is none: a resumed run does not evaluate that step again.
  std::int64_t last_evaluated_step() const { return last_.step; }
  /// Its loss.
  std::optional<double> last_val_loss() const { return last_.val_loss; }
  /// fsync of both files; call before each checkpoint, so that a checkpoint never knows more than the record.
  void sync();

 private:
  RunRecord(std::filesystem::path folder, Manifest manifest);
  std::filesystem::path folder_;
  Manifest manifest_;
  int log_ = -1, evaluations_ = -1;  ///< descriptors, opened for appending
  struct {
    std::int64_t step = -1;
    std::optional<double> val_loss;
  } last_;  ///< of eval.jsonl
};

/// The processor's name, "" where the system does not tell.
std::string cpu_name();

}  // namespace isoloss
