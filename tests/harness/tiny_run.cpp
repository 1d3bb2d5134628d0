#include "tests/harness/tiny_run.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/shard.h"
#include "engine/trainer.h"
#include "kernels/base/file.h"
#include "kernels/base/philox.h"
#include "models/transformer.h"

namespace isoloss::test {

namespace fs = std::filesystem;

namespace {
/// Text with something to learn: each token follows from the last but for one in eight.
fs::path write_tokens(const fs::path& file, std::uint64_t key, std::size_t count, std::uint32_t vocab) {
  Philox random(key);
  std::vector<std::uint32_t> ids;
  std::uint32_t last = 1;
  for (std::size_t i = 0; i < count; ++i) {
    last = random.below(8) == 0 ? static_cast<std::uint32_t>(random.below(vocab)) : (last * 7 + 3) % vocab;
    ids.push_back(last);
  }
  ShardWriter writer(file, 2);
  writer.append(ids);
  writer.finish();
  return file;
}

}  // namespace

ModelSpec tiny_spec() {
  ModelSpec spec;
  spec.layers = 2, spec.heads = 2, spec.kv_heads = 2, spec.width = 32, spec.context = 16, spec.vocab = 50;
  return spec;
}

RunConfig tiny_config(const ModelSpec& spec) {
  RunConfig config;
  config.optimizer.learning_rate = 3e-3;
  config.schedule.warmup_steps = 3;
  config.run.steps = 12;
  config.run.micro_batch = 4;
  config.run.batch_tokens = 4 * spec.context;
  config.run.eval_every = 4;
  config.run.seed = 11;
  return config;
}

Outcome train(const fs::path& folder, const ModelSpec& spec, const RunConfig& config, bool resume,
              std::int64_t stop_after, const Machine& machine, const std::function<void(Trainer&)>& change) {
  const fs::path data = folder.parent_path() / "tokens";
  fs::create_directories(data);
  if (!fs::exists(data / "train.bin")) {
    write_tokens(data / "train.bin", 1, 4000, 50);
    write_tokens(data / "val.bin", 2, 16 * 21 + 1, 50);
  }
  const TokenDataset train_data({data / "train.bin"}), val_data({data / "val.bin"});
  const EvalWindows validation(val_data, spec.context, 0);
  std::optional<Checkpoint> checkpoint;
  if (resume) checkpoint = latest_checkpoint(folder, [](std::string_view) {});
  REQUIRE(checkpoint.has_value() == resume);
  RunRecord record = resume ? RunRecord::resume(folder, *checkpoint) : RunRecord::create(folder, Manifest{});
  TrainingModel model(TrainingPlan(model_graphs(spec), config, machine.kind()), config, machine);
  if (!resume) model.store().initialise(config.run.seed);
  Trainer trainer(config, model, train_data, validation, record, checkpoint);
  std::int64_t steps = 0;
  trainer.report = [&](const StepReport&) { ++steps; };
  trainer.stop = [&] { return stop_after >= 0 && steps >= stop_after; };
  if (change) change(trainer);
  Outcome outcome;
  outcome.status = trainer.run();
  outcome.log = read_file(folder / "log.jsonl");
  outcome.evaluations = read_file(folder / "eval.jsonl");
  std::istringstream log(outcome.log), evaluations(outcome.evaluations);
  for (std::string line; std::getline(log, line);) outcome.losses.push_back(nlohmann::json::parse(line).at("loss"));
  for (std::string line; std::getline(evaluations, line);)
    outcome.val_losses.push_back(nlohmann::json::parse(line).at("val_loss"));
  if (outcome.status == RunStatus::finished) outcome.weights = read_file(folder / "model.safetensors");
  return outcome;
}

double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = std::isnan(difference) ? HUGE_VAL : difference;
  }
  return worst;
}

}  // namespace isoloss::test
