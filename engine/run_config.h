// What a training run is told besides the model: data, optimizer, schedule, run. Plain values; models/config.h reads
// them from TOML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/loader.h"

namespace isoloss {

enum class OptimizerKind : std::uint8_t { adamw, sgd };
enum class ScheduleKind : std::uint8_t { cosine, linear, constant, wsd };
enum class Precision : std::uint8_t { fp32, tf32, bf16 };

struct DataConfig {
  std::vector<std::string> train, val;  ///< files or globs, already relative to the current folder
  Sampling sampling = Sampling::random;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adamw;
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1;
  double clip_norm = 1.0;  ///< 0: no clipping
};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  std::int64_t warmup_steps = 0;
  std::int64_t decay_steps = -1;  ///< -1: run.steps
  double final_fraction = 0.1;
};

struct TrainingConfig {
  std::int64_t steps = 100;
  std::int64_t batch_tokens = 0;  ///< targets per optimizer step: a whole number of micro-batches
  std::int64_t micro_batch = 1;   ///< sequences per micro-batch
  std::uint64_t seed = 1;
  std::int64_t eval_every = 0;   ///< 0: only at step 0 and at the end
  std::int64_t eval_tokens = 0;  ///< 0: the whole validation set
  std::int64_t log_every = 1;
  std::int64_t checkpoint_every = 0;  ///< 0: only at the end and when interrupted
  std::int64_t keep_checkpoints = 2;
  Precision precision = Precision::fp32;
};

struct RunConfig {
  DataConfig data;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  TrainingConfig run;
};

/// Factor on the learning rate for step `step` (from 0): warm-up (step + 1) / (warmup_steps + 1), then the decay to
/// `final_fraction` that the contract describes. `steps` is run.steps.
double schedule_factor(const ScheduleConfig& schedule, std::int64_t step, std::int64_t steps);

}  // namespace isoloss
