// What the manifest says about a run before its first step.
#pragma once

#include <string>

#include "data/loader.h"
#include "engine/run_record.h"
#include "engine/training_model.h"
#include "models/config.h"

namespace isoloss {

struct RunIdentity {
  std::string name, device, gpu, sweep_label;
  std::string init_from;         ///< path of the weights to start from; empty: the seed's
  std::string tokenizer_sha256;  ///< of the shards; empty: unknown
};

Manifest describe_run(const Configuration& configuration, const std::string& config_json, const TrainingPlan& plan,
                      const TokenDataset& train, const TokenDataset& val, const EvalWindows& validation,
                      const RunIdentity& identity);

/// A run goes on with the bits it was started with: throws an input error at `where` that names the first shard, or the
/// tokenizer, that is another one now.
void expect_same_data(const Manifest& before, const Manifest& now, const std::string& where);

/// A run that starts anew starts from the weights it was started from: throws an input error at `where` otherwise.
void expect_same_start(const Manifest& before, const Manifest& now, const std::string& where);

/// The first key at which two configurations (JSON objects) differ, with both values, as one line.
std::string first_difference(const std::string& before, const std::string& now);

}  // namespace isoloss
