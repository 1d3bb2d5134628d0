// The program `generate`: text from a trained model, one token at a time with key-value caches.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <span>

#include "data/meta.h"
#include "data/shard.h"
#include "data/tokenizer.h"
#include "kernels/base/error.h"
#include "kernels/base/philox.h"
#include "tools/common/device.h"
#include "tools/common/origin.h"
#include "tools/common/program.h"
#include "tools/common/saved_model.h"
#include "tools/common/usage.h"
#include "tools/generate/decoder.h"

namespace isoloss {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string run, prompt;
  std::int64_t tokens = 200;
  DrawRule draw;
  std::uint64_t seed = 0;
  bool any_tokenizer = false;
  DeviceOptions device;
};

/// The tokenizer beside the run's shards, which must be the one that the run was trained with.
Tokenizer tokenizer_of(const Configuration& configuration, const TokenizerRule& rule) {
  for (const fs::path& shard : expand_shards(configuration.run.data.train, "data.train")) {
    const fs::path file = shard.parent_path() / "tokenizer.json";
    if (!fs::exists(file)) continue;
    if (!rule.any && !rule.sha256.empty() && tokenizer_identity(file) != rule.sha256) {
      fail_input(file.string(), fmt::format("the tokenizer of {}, of SHA-256 {}", rule.owner, rule.sha256),
                 fmt::format("another one, of SHA-256 {}; --any-tokenizer takes it", tokenizer_identity(file)));
    }
    Tokenizer tokenizer = load_tokenizer(file.string());
    if (static_cast<std::int64_t>(tokenizer.vocab_size()) != configuration.model.vocab) {
      fail_input(file.string(), fmt::format("the run's tokenizer, of {} ids", configuration.model.vocab),
                 fmt::format("one of {}", tokenizer.vocab_size()));
    }
    return tokenizer;
  }
  fail_input("data.train", "a tokenizer.json beside the run's shards", "none");
}

int generate(const Options& options) {
  const SavedModel saved = saved_model_of_run(options.run);
  TokenizerRule rule = tokenizer_of_run(options.run);
  rule.any = options.any_tokenizer;
  Tokenizer tokenizer = tokenizer_of(saved.configuration, rule);
  const Device device = open_device(options.device, Precision::fp32);
  Decoder decoder(saved.configuration.model, saved.weights, device.machine, device.checker.get());

  std::vector<std::uint32_t> prompt;
  tokenizer.encode(options.prompt, prompt);
  // An empty prompt begins where a document begins: after the end of the one before.
  if (prompt.empty()) prompt.push_back(tokenizer.end_of_text().value_or(0));
  std::span<const float> logits;
  for (const std::uint32_t id : prompt) logits = decoder.feed(static_cast<std::int32_t>(id));
  fmt::print("{}", options.prompt);
  Philox random(options.seed, hash_name("generate"));
  for (std::int64_t i = 0; i < options.tokens && !interrupted(); ++i) {
    const std::int32_t id = draw_token(logits, options.draw, random);
    if (tokenizer.end_of_text() == static_cast<std::uint32_t>(id)) break;
    const std::string_view bytes = tokenizer.token(static_cast<std::uint32_t>(id));
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    if (std::fflush(stdout) != 0) break;  // nobody reads on; run_program says why
    if (i + 1 < options.tokens) logits = decoder.feed(id);
  }
  fmt::print("\n");
  return interrupted() ? kInterrupted : 0;
}

}  // namespace
}  // namespace isoloss

int main(int argc, char** argv) {
  using namespace isoloss;
  Options options;
  return run_program(
      argc, argv, "generate", "Continues a prompt with a trained model.",
      "generate --run runs/first --prompt \"Once upon a time\" --tokens 100",
      [&](CLI::App& app) {
        app.add_option("--run", options.run, "The run folder")->required()->check(some_path());
        app.add_option("--prompt", options.prompt, "Text to continue; empty: the start of a document");
        app.add_option("--tokens", options.tokens, "Tokens to draw")
            ->default_str("200")
            ->check(whole_number<std::int64_t>());
        app.add_option("--temperature", options.draw.temperature, "0 takes the likeliest token")
            ->default_str("0.8")
            ->check(number_from(0));
        app.add_option("--top-k", options.draw.top_k, "Draw from the K likeliest tokens; 0: from all")
            ->default_str("50")
            ->check(whole_number<std::int64_t>());
        app.add_option("--seed", options.seed, "Other seeds, other texts")
            ->default_str("0")
            ->check(whole_number<std::uint64_t>());
        app.add_flag("--any-tokenizer", options.any_tokenizer,
                     "Also a tokenizer of as many ids that the run was not trained with");
        options.device.add_to(app, /*check=*/true);
      },
      [&] { return generate(options); });
}
