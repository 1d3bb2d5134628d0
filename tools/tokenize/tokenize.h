// From text to a folder of shards: what the program `tokenize` does, as functions.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/meta.h"
#include "data/tokenizer.h"

namespace isoloss {

struct TokenizeOptions {
  std::vector<std::string> inputs;
  std::string tokenizer;  ///< bytes, gpt2:DIR, bpe:SIZE or a tokenizer.json
  std::filesystem::path out;
  double val_fraction = 0.05;
  std::string separator{kDefaultSeparator};
  std::string field = "text";
  std::uint64_t seed = 0;
  bool skip_bad_lines = false;
  bool binary = false;
  bool force = false;
  std::uint64_t shard_tokens = 100'000'000;
};

/// Writes train_*.bin, val_*.bin, tokenizer.json and meta.json, all of them at once when everything was read (see
/// OutputFolder). Returns 0, or kInterrupted with nothing changed. Whole documents go to one split or the other by a
/// hash of (seed, document number); the first is always training text, and when no other was drawn the last one is
/// validation text. A single document is split at its end.
int tokenize(const TokenizeOptions& options);

/// `spec` is bytes, gpt2:DIR or a tokenizer.json; an input error of --tokenizer when it is nothing of the kind.
Tokenizer open_tokenizer(const std::string& spec);

/// The ids of everything in `in`, as text, separated by spaces, with a newline at the end.
void print_ids(Tokenizer& tokenizer, std::FILE* in, std::FILE* out);
/// The bytes of the ids in `in`, which white space separates. Anything but numbers is an input error.
void print_decoded(const Tokenizer& tokenizer, std::FILE* in, std::FILE* out);

}  // namespace isoloss
