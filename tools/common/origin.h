// Which tokenizer and which data saved weights come from, as far as files tell.
#pragma once

#include <filesystem>

#include "data/loader.h"
#include "engine/run_record.h"
#include "models/config.h"

namespace isoloss {

/// The tokenizer of a run's text, from its manifest.
TokenizerRule tokenizer_of_run(const std::filesystem::path& run);
/// The same for weights, which say it themselves wherever they were copied. Those of earlier versions are known where
/// they lie in a run's folder or in one of its checkpoints; others are unknown.
TokenizerRule tokenizer_of_weights(const std::filesystem::path& weights);

/// Input error unless `data` has the validation shards that the run was trained beside, byte for byte.
void expect_data_of_run(const std::filesystem::path& run, const TokenDataset& data);
/// Input error where the meta.json beside a shard of `data` does not list its content; `files` has the hashes.
void expect_tokenized(const TokenDataset& data, const std::vector<DataFileRecord>& files);
void expect_tokenized(const TokenDataset& data);

}  // namespace isoloss
