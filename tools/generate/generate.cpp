// The program `generate`: text from a trained model, one token at a time with key-value caches.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "data/meta.h"
#include "data/shard.h"
#include "data/tokenizer.h"
#include "engine/training_model.h"
#include "kernels/core/error.h"
#include "kernels/core/philox.h"
#include "models/transformer.h"
#include "models/weights.h"
#include "tools/common/device.h"
#include "tools/common/origin.h"
#include "tools/common/program.h"
#include "tools/common/saved_model.h"
#include "tools/common/usage.h"

namespace isoloss {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string run, prompt;
  std::int64_t tokens = 200, top_k = 50;
  double temperature = 0.8;
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

/// Draws from softmax(logits / temperature) cut to the top_k largest (0: all); temperature 0 takes the largest.
/// Ties are broken by index.
std::int32_t sample(const float* logits, std::int64_t vocab, const Options& options, Philox& random) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(vocab));
  std::iota(order.begin(), order.end(), 0);
  const auto larger = [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  const std::int64_t keep = options.temperature == 0 ? 1 : options.top_k > 0 ? std::min(options.top_k, vocab) : vocab;
  std::partial_sort(order.begin(), order.begin() + keep, order.end(), larger);
  if (keep == 1) return order.front();
  std::vector<double> cumulative;
  double sum = 0;
  for (std::int64_t i = 0; i < keep; ++i) {
    const auto logit = static_cast<double>(logits[order[static_cast<std::size_t>(i)]] - logits[order.front()]);
    cumulative.push_back(sum += std::exp(logit / options.temperature));
  }
  const double draw = random.uniform() * sum;
  const auto at = std::upper_bound(cumulative.begin(), cumulative.end(), draw) - cumulative.begin();
  return order[static_cast<std::size_t>(std::min<std::int64_t>(at, keep - 1))];
}

class Decoder {
 public:
  Decoder(const ModelSpec& spec, const fs::path& weights, const Device& device)
      : vocab_(spec.vocab), context_(spec.context) {
    const Machine& machine = device.machine;
    Graph graph = decoding_graph(spec, store_);
    store_.lay_out();
    store_.allocate(/*with_gradients=*/false, machine);
    load_weights(store_, weights);
    executor_ = std::make_unique<Executor>(std::move(graph), store_, machine);
    executor_->set_observer(device.checker.get());
    logits_.resize(static_cast<std::size_t>(executor_->tensor("lm_head.y").count()));
  }

  /// Feeds one token and returns the logits of the next. A full context goes on with its newer half as the new
  /// beginning: positions past the trained context mean nothing to the model.
  const float* feed(std::int32_t id) {
    if (position_ == context_) {
      const std::vector<std::int32_t> kept(seen_.end() - context_ / 2, seen_.end());
      seen_.clear();
      position_ = 0;
      for (const std::int32_t old : kept) step(old);
    }
    return step(id);
  }

 private:
  const float* step(std::int32_t id) {
    executor_->write("ids", &id);
    StepState state;
    state.position = position_++;
    seen_.push_back(id);
    executor_->run(state);
    executor_->read("lm_head.y", logits_.data());
    if (!std::all_of(logits_.begin(), logits_.begin() + vocab_, [](float logit) { return std::isfinite(logit); })) {
      fail_run("lm_head", "finite logits", "a value that is not");
    }
    return logits_.data();
  }

  std::int64_t vocab_, context_, position_ = 0;
  ParameterStore store_;
  std::unique_ptr<Executor> executor_;
  std::vector<std::int32_t> seen_;
  std::vector<float> logits_;
};

int generate(const Options& options) {
  const SavedModel saved = saved_model_of_run(options.run);
  TokenizerRule rule = tokenizer_of_run(options.run);
  rule.any = options.any_tokenizer;
  Tokenizer tokenizer = tokenizer_of(saved.configuration, rule);
  const Device device = open_device(options.device, Precision::fp32);
  Decoder decoder(saved.configuration.model, saved.weights, device);

  std::vector<std::uint32_t> prompt;
  tokenizer.encode(options.prompt, prompt);
  // An empty prompt begins where a document begins: after the end of the one before.
  if (prompt.empty()) prompt.push_back(tokenizer.end_of_text().value_or(0));
  const float* logits = nullptr;
  for (const std::uint32_t id : prompt) logits = decoder.feed(static_cast<std::int32_t>(id));
  fmt::print("{}", options.prompt);
  Philox random(options.seed, hash_name("generate"));
  for (std::int64_t i = 0; i < options.tokens && !interrupted(); ++i) {
    const std::int32_t id = sample(logits, saved.configuration.model.vocab, options, random);
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
        app.add_option("--run", options.run, "The run folder")->required();
        app.add_option("--prompt", options.prompt, "Text to continue; empty: the start of a document");
        app.add_option("--tokens", options.tokens, "Tokens to draw")
            ->default_str("200")
            ->check(whole_number<std::int64_t>());
        app.add_option("--temperature", options.temperature, "0 takes the likeliest token")
            ->default_str("0.8")
            ->check(number_from(0));
        app.add_option("--top-k", options.top_k, "Draw from the K likeliest tokens; 0: from all")
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
