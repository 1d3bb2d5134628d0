// The program `evaluate`: the loss of saved weights on a shard.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/meta.h"
#include "data/tokenizer.h"
#include "engine/finiteness.h"
#include "engine/training_model.h"
#include "kernels/base/error.h"
#include "models/config.h"
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
  std::string run, weights, config;
  std::vector<std::string> data;
  std::int64_t tokens = 0;
  bool json = false, any_tokenizer = false;
  DeviceOptions device;
};

SavedModel saved_model(const Options& options) {
  const bool by_run = !options.run.empty(), by_file = !options.weights.empty() && !options.config.empty();
  if (by_run == by_file || (by_run && !(options.weights.empty() && options.config.empty()))) {
    fail_input("--run", "either --run, or --weights together with --config", by_run ? "both" : "neither");
  }
  if (by_run) return saved_model_of_run(options.run);
  return {load_configuration(options.config), options.weights};
}

/// The tokenizer.json that the ids of all `shards` belong to; empty where there is none, or more than one.
fs::path tokenizer_of_all(const std::vector<fs::path>& shards) {
  const fs::path file = shards.front().parent_path() / "tokenizer.json";
  if (!fs::exists(file)) return {};
  const std::string identity = tokenizer_identity(file);
  const bool all = std::ranges::all_of(
      shards, [&](const fs::path& shard) { return tokenizer_beside(shard, /*any_tokenizer=*/true) == identity; });
  return all ? file : fs::path();
}

/// Bytes of text that the evaluated targets stand for; nothing where the tokenizer is not known.
std::optional<double> bytes_of_targets(const EvalWindows& windows, std::int64_t context,
                                       const std::vector<fs::path>& shards) {
  const fs::path file = tokenizer_of_all(shards);
  if (file.empty()) return std::nullopt;
  const Tokenizer tokenizer = load_tokenizer(file.string());
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(context)), targets(inputs.size());
  double bytes = 0;
  for (std::uint64_t window = 0; window < windows.windows(); ++window) {
    windows.batch(window, 1, inputs.data(), targets.data());
    for (const std::int32_t id : targets) {
      if (static_cast<std::uint32_t>(id) >= tokenizer.vocab_size()) return std::nullopt;
      bytes += tokenizer.bytes_of_token(static_cast<std::uint32_t>(id));
    }
  }
  return bytes;
}

bool is_tokenized(const TokenDataset& data) {
  try {
    expect_tokenized(data);
    return true;
  } catch (const Error&) {
    return false;
  }
}

int evaluate_weights(const Options& options) {
  SavedModel saved = saved_model(options);
  Configuration& configuration = saved.configuration;
  const std::vector<std::string>& patterns = options.data.empty() ? configuration.run.data.val : options.data;
  if (patterns.empty()) fail_input("--data", "token shards to evaluate on", "none");
  const std::vector<fs::path> files = expand_shards(patterns, options.data.empty() ? "data.val" : "--data");
  TokenizerRule tokenizer = options.run.empty() ? tokenizer_of_weights(saved.weights) : tokenizer_of_run(options.run);
  tokenizer.any = options.any_tokenizer;
  resolve_vocab(configuration, files, tokenizer);  // text of another tokenizer has no loss to speak of
  const TokenDataset data(files);
  if (!options.any_tokenizer) {
    options.data.empty() && !options.run.empty() ? expect_data_of_run(options.run, data) : expect_tokenized(data);
  }
  data.check_ids(static_cast<std::uint64_t>(configuration.model.vocab));
  const EvalWindows windows(data, configuration.model.context, static_cast<std::uint64_t>(options.tokens), "--tokens");

  // A GPU evaluates as the model was trained, which is what the record of its run holds; the others know float32 only.
  const Precision trained = configuration.run.run.precision;
  const Device device = open_device(options.device, Precision::fp32, trained);
  const DType real = real_of(device.precision);
  if (configuration.model.attention == Attention::cudnn && real != DType::bf16) {
    say("model.attention: flash in place of cudnn, which computes in bf16 alone; the same mathematics");
    configuration.model.attention = Attention::flash;
  }
  ParameterStore store;
  const auto rows =
      std::min<std::int64_t>(configuration.run.run.micro_batch, static_cast<std::int64_t>(windows.windows()));
  Graph graph = evaluation_graph(configuration.model, store, rows, real);
  store.lay_out();
  store.allocate(/*with_gradients=*/false, device.machine, real);
  load_weights(store, saved.weights);
  if (const std::string bad = first_not_finite(store, ParameterStore::Part::values); !bad.empty()) {
    fail_run(saved.weights.string(), "finite weights", bad);
  }
  Executor executor(std::move(graph), store, device.machine);
  executor.set_observer(device.checker.get());
  const Evaluation result = evaluate(executor, windows, [] { return interrupted(); });
  if (interrupted()) return kInterrupted;
  if (!std::isfinite(result.loss)) fail_run(saved.weights.string(), "weights with a finite loss", "another loss");

  const double perplexity = std::exp(result.loss);
  const auto bytes = options.any_tokenizer && !is_tokenized(data)
                         ? std::nullopt
                         : bytes_of_targets(windows, configuration.model.context, files);
  const double bits =
      bytes && *bytes > 0 ? result.loss * static_cast<double>(result.tokens) / (std::log(2.0) * *bytes) : NAN;
  if (options.json) {
    nlohmann::ordered_json out;
    out["val_loss"] = result.loss;
    out["perplexity"] = perplexity;
    out["tokens"] = result.tokens;
    out["bits_per_byte"] = std::isfinite(bits) ? nlohmann::ordered_json(bits) : nlohmann::ordered_json();
    fmt::print("{}\n", out.dump());
    return 0;
  }
  fmt::print("loss           {:.6f} nats per token\n", result.loss);
  fmt::print("perplexity     {:.4f}\n", perplexity);
  if (std::isfinite(bits)) fmt::print("bits per byte  {:.4f}\n", bits);
  fmt::print("tokens         {}\n", grouped(static_cast<double>(result.tokens)));
  return 0;
}

}  // namespace
}  // namespace isoloss

int main(int argc, char** argv) {
  using namespace isoloss;
  Options options;
  return run_program(
      argc, argv, "evaluate", "Prints the loss, perplexity and bits per byte of saved weights.",
      "evaluate --run runs/first --data tokens/val_*.bin",
      [&](CLI::App& app) {
        app.add_option("--run", options.run, "A run folder: its configuration, newest weights and validation data")
            ->check(some_path());
        app.add_option("--weights", options.weights, "Weights (safetensors)")->check(some_path());
        app.add_option("--config", options.config, "Their configuration: a TOML file or the name of a preset")
            ->check(some_path());
        app.add_option("--data", options.data, "Token shards: files or globs; default: the run's validation data")
            ->take_all()
            ->check(some_path());
        app.add_option("--tokens", options.tokens, "At most so many targets; 0: all")
            ->check(whole_number<std::int64_t>());
        app.add_flag("--json", options.json, "One JSON object instead of a table");
        app.add_flag("--any-tokenizer", options.any_tokenizer, "Also shards of another tokenizer than the weights'");
        options.device.add_to(app, /*check=*/true);
      },
      [&] { return evaluate_weights(options); });
}
