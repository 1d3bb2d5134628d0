// From TOML to one checked configuration, and from there to the manifest and back.
//
// Values come in layers, later ones win: what the structs say, the files that `extends` names (farthest first), the
// file itself, the overrides. Only the last two count as set explicitly: a toggle without effect is an error when it
// was set there, and is passed over when an extended file brought it along.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/run_config.h"
#include "models/spec.h"

namespace isoloss {

struct Configuration {
  ModelSpec model;
  RunConfig run;
  std::set<std::string> explicit_keys;  ///< set in the file itself or by an override, such as "model.norm"
};

/// One `key=value`. The value is TOML, or a bare word for a string: `model.norm=none`, `run.steps=600`,
/// `data.train=["a.bin", "b.bin"]`. `where` begins the message of every error about it; relative paths in the value are
/// relative to `folder` (empty: the current one).
struct Override {
  std::string text;
  std::string where = "--set";
  std::filesystem::path folder = {};
};

/// Reads a TOML file or a preset ("nano") and returns it instantiated: every default that follows from another key is
/// filled in (kv_heads, final_norm, batch_tokens, decay_steps), everything is checked, only `model.vocab` may still be
/// 0 (see resolve_vocab). Paths in it are relative to the current folder. Throws input errors that name the key, file
/// and line, and for an unknown key the nearest known one.
Configuration load_configuration(const std::string& file_or_preset, const std::vector<Override>& overrides = {});

/// What the tokenizers beside shards are compared with.
struct TokenizerRule {
  std::string sha256 = {};  ///< of the tokenizer that weights were trained with; empty: unknown
  std::string owner = {};   ///< of `sha256`, for errors: "the run runs/first"
  bool any = false;         ///< --any-tokenizer: differences are taken; where sizes differ, the largest is meant
};

/// Sets `model.vocab` from the tokenizer.json and meta.json in the folders of the shards (data.train and data.val, or
/// `shards` where given). Throws when they differ from each other or from a `model.vocab` that was set, and when there
/// is neither a file nor a value; unless `rule.any` also when the tokenizers beside two shards, or the one of `rule`
/// and one of them, are known and have different hashes. Returns the hash of the shards' tokenizer (the first one
/// known),
/// "" where none is known.
std::string resolve_vocab(Configuration& configuration, const std::vector<std::filesystem::path>& shards = {},
                          const TokenizerRule& rule = {});

/// The configuration as instantiated, every key of the contract, as a JSON object {"model": {…}, "data": {…}, …} in
/// a fixed order. Data paths are written relative to `folder`, the folder of the file that will hold the text.
std::string to_json(const Configuration& configuration, const std::filesystem::path& folder);

/// The inverse of to_json: the same configuration, bit for bit. `where` begins every error message.
Configuration from_json(std::string_view json, const std::filesystem::path& folder, std::string_view where);

/// The configuration of the run in `folder`, from its manifest.json.
Configuration configuration_of_run(const std::filesystem::path& folder);

/// Names of the presets, sorted, and the TOML text of one; an unknown name is an input error that lists them.
std::vector<std::string> preset_names();
std::string_view preset_text(std::string_view name);

}  // namespace isoloss
