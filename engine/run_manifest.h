// manifest.json: what a run is, and how it stands.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/record_file.h"

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
  std::optional<FileDigest> weights;   ///< of model.safetensors, once the run is finished
  std::optional<RecordLines> records;  ///< all of log.jsonl and eval.jsonl, once the run has finished or diverged
  std::string sweep;  ///< a JSON object {"variant", "class", "scale", "seed", "parts"}; empty: not part of a sweep
};

std::string to_json(const Manifest& manifest);
/// Reads manifest.json of the run in `folder`; input errors name the file and the key. All but the status is under a
/// checksum, except in manifests of earlier versions.
Manifest read_manifest(const std::filesystem::path& folder);

/// Two runs of the same configuration, data, seed and start have the same identity: 16 hexadecimal digits. Where and
/// when they run does not matter.
std::string identity_of(const Manifest& manifest);

/// Replaces manifest.json in `folder`, atomically.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);

/// The processor's name, "" where the system does not tell.
std::string cpu_name();

}  // namespace isoloss
