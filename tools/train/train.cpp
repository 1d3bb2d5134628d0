// The program `train`: one configuration in, one run folder out.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>

#include "data/tokenizer.h"
#include "engine/plan.h"
#include "engine/profiler.h"
#include "engine/remains.h"
#include "engine/trainer.h"
#include "kernels/base/error.h"
#include "kernels/base/parallel.h"
#include "kernels/gpu/ceilings.h"
#include "models/config.h"
#include "models/config_check.h"
#include "models/transformer.h"
#include "models/weights.h"
#include "tools/common/device.h"
#include "tools/common/lock.h"
#include "tools/common/origin.h"
#include "tools/common/program.h"
#include "tools/common/usage.h"
#include "tools/train/manifest.h"

namespace isoloss {
namespace {

namespace fs = std::filesystem;

constexpr double kLongestWait = 2;  // seconds: a process that was told to stop may be about to leave

struct Options {
  std::string config;
  std::vector<std::string> set;
  std::string out, init_from, sweep_label;
  bool resume = false, plan = false, profile = false, any_tokenizer = false;
  DeviceOptions device;
};

fs::path run_folder(const Options& options) {
  return options.out.empty() ? fs::path("runs") / fs::path(options.config).stem() : fs::path(options.out);
}

void print_plan(const TrainingPlan& plan, const Configuration& configuration) {
  const auto mebi = [](std::size_t bytes) { return static_cast<double>(bytes) / 1048576.0; };
  fmt::print("{}\n", plan_text(plan.training, plan.training_memory));
  const Cost step = plan.step_cost();
  const auto tokens = static_cast<double>(configuration.run.run.batch_tokens);
  fmt::print("parameters          {:>16}\n", grouped(static_cast<double>(plan.store.trained())));
  fmt::print("micro-batches       {:>16}\n", plan.micro_batches);
  fmt::print("FLOPs per token     {:>16}\n", grouped(step.flops / tokens));
  fmt::print("FLOPs per step      {:>16.4g}\n", step.flops);
  fmt::print("FLOPs of the run    {:>16.4g}\n", step.flops * static_cast<double>(configuration.run.run.steps));
  fmt::print("parameters, gradients, moments {:>10.1f} MiB\n", mebi(plan.parameter_bytes()));
  fmt::print("activations and scratch        {:>10.1f} MiB\n", mebi(plan.activation_bytes()));
  fmt::print("in all                         {:>10.1f} MiB\n", mebi(plan.total_bytes()));
  if (plan.device == DeviceKind::cuda) {
    fmt::print("besides, workspace of products {:>10.1f} MiB\n", mebi(kMatmulWorkspace));
  }
}

/// The manifest of the run that goes on in the folder.
Manifest manifest_of(const fs::path& folder, const Configuration& configuration) {
  Manifest manifest = read_manifest(folder);
  const std::string now = to_json(configuration, folder);
  if (manifest.config != now) {
    fail_input(folder.string(), "the configuration that the run was started with",
               "another one: " + first_difference(manifest.config, now));
  }
  return manifest;
}

/// Whether the folder holds the same run, killed before there was anything to go on from. Whatever starts it starts it
/// anew.
bool starts_anew(const Options& options, const fs::path& folder, const Configuration& configuration) {
  if (!stopped_before_first_checkpoint(folder)) return false;
  const Manifest manifest = read_manifest(folder);
  if (manifest.config != to_json(configuration, folder)) return false;
  // --resume does not say which file that was; from the seed it would be another run.
  if (options.resume && !manifest.init_file.empty()) {
    fail_input(folder.string(), "a checkpoint to resume from",
               "none; start again with --init-from " + manifest.init_file + ", without --resume");
  }
  return true;
}

Checkpoint checkpoint_of(const fs::path& folder, const Manifest& manifest, const std::string& device) {
  const bool checks = manifest.device == "check" || device == "check";  // which runs the device that auto chooses
  if (manifest.device != device && !checks) {
    warn(fmt::format("{}: started on {}, goes on on {}: its bits will not be those of a run that stayed on one device",
                     folder.string(), manifest.device, device));
  }
  auto checkpoint = latest_checkpoint(folder, [](std::string_view why) { warn(why); });
  if (!checkpoint) fail_input(folder.string(), "a checkpoint to resume from (remove the folder to start anew)", "none");
  if (!checkpoint->state.record) {
    warn(fmt::format("{}: written by an earlier version, which kept no checksum of the record",
                     checkpoint->description().string()));
  }
  return *checkpoint;
}

int tell_finished(const fs::path& folder, const Manifest& manifest) {
  expect_finished_whole(folder, manifest);
  say(fmt::format("{}: the run is finished", folder.string()));
  return 0;
}

Ceilings ceilings_of(const Machine& machine, const RunConfig& config) {
  if (machine.on_host()) return measure_ceilings();
  return measure_ceilings(machine.cuda(), machine.stream(), real_of(config.run.precision),
                          config.run.precision == Precision::tf32);
}

void watch(Trainer& trainer, Progress& progress) {
  trainer.stop = [] { return interrupted(); };
  trainer.report = [&progress](const StepReport& report) {
    const std::string validation = report.val_loss ? fmt::format("  val {:.4f}", *report.val_loss) : "";
    progress.update(static_cast<double>(report.step), static_cast<double>(report.steps),
                    fmt::format("step {}/{}  loss {:.4f}{}  {} tok/s", report.step, report.steps, report.loss,
                                validation, grouped(report.tokens_per_second)));
  };
}

int train(const Options& options) {
  if (options.resume && !options.init_from.empty()) {
    fail_input("--init-from", "a new run", "--resume, which goes on with the run's own weights");
  }
  expect_possible_folder("--out", run_folder(options));
  std::vector<Override> overrides;
  for (const std::string& text : options.set) overrides.push_back({text});
  Configuration configuration = load_configuration(options.config, overrides);
  const RunConfig& config = configuration.run;
  check_device(configuration, device_kind(options.device));
  TokenizerRule rule = options.init_from.empty() ? TokenizerRule() : tokenizer_of_weights(options.init_from);
  rule.any = options.any_tokenizer;
  std::string tokenizer;
  if (!options.plan || !config.data.train.empty()) tokenizer = resolve_vocab(configuration, {}, rule);
  if (configuration.model.vocab == 0) fail_input("model.vocab", "a vocabulary, where no data says it", "none");

  for (const std::string& line : surprises(config)) warn(line);

  const ModelGraphs graphs = model_graphs(configuration.model);
  if (options.plan && device_kind(options.device) == DeviceKind::cuda) {
    print_plan(TrainingPlan(graphs, config, DeviceKind::cuda), configuration);
    return 0;
  }
  const Device device = open_device(options.device, config.run.precision);
  TrainingPlan plan(graphs, config, device.machine.kind());
  if (options.plan) {
    print_plan(plan, configuration);
    return 0;
  }

  if (config.data.train.empty()) fail_input("data.train", "token shards to train on", "none");
  if (config.data.val.empty()) fail_input("data.val", "token shards to evaluate on", "none");
  const TokenDataset train_data(expand_shards(config.data.train, "data.train")),
      val_data(expand_shards(config.data.val, "data.val"));
  const auto vocab = static_cast<std::uint64_t>(configuration.model.vocab);
  train_data.check_ids(vocab);
  val_data.check_ids(vocab);
  const EvalWindows validation(val_data, configuration.model.context,
                               static_cast<std::uint64_t>(config.run.eval_tokens));

  for (const std::string& line : surprises(config, configuration.model.context, train_data.size(), validation.tokens()))
    warn(line);

  const fs::path folder = run_folder(options);
  // What the manifest names.
  expect_utf8("--out", folder.filename().string());
  expect_utf8("--init-from", fs::path(options.init_from).filename().string());
  for (const TokenDataset* data : {&train_data, &val_data}) {
    for (const TokenShard& shard : data->shards()) expect_utf8("data", shard.path().filename().string());
  }
  if (options.resume) {
    const Manifest manifest = manifest_of(folder, configuration);
    // Nothing is written, so nothing need be held.
    if (manifest.status == RunStatus::finished) return tell_finished(folder, manifest);
  }
  const FolderLock lock = lock_folder(folder, kLongestWait);
  std::optional<Checkpoint> resume;
  const bool anew = starts_anew(options, folder, configuration);
  if (anew) {
    say(fmt::format("{}: stopped before its first checkpoint, starts anew", folder.string()));
  } else if (options.resume) {
    const Manifest manifest = manifest_of(folder, configuration);  // again, now that nobody else changes it
    if (manifest.status == RunStatus::finished) return tell_finished(folder, manifest);
    resume = checkpoint_of(folder, manifest, device.name);
  } else if (holds_run(folder)) {
    fail_input(folder.string(), "a folder without a run, or --resume", "a folder that holds one");
  }

  const std::string config_json = to_json(configuration, folder);
  const std::string gpu = device.machine.on_host() ? "" : device.machine.cuda().name();
  const Manifest manifest =
      describe_run(configuration, config_json, plan, train_data, val_data, validation,
                   {folder.filename().string(), device.name, gpu, options.sweep_label, options.init_from, tokenizer});
  if (anew) expect_same_start(read_manifest(folder), manifest, folder.string());
  if (resume) expect_same_data(read_manifest(folder), manifest, folder.string());
  if (!options.any_tokenizer) expect_tokenized(train_data, manifest.train), expect_tokenized(val_data, manifest.val);
  expect_fits(plan, graphs, config, device.machine);
  TrainingModel model(std::move(plan), config, device.machine);
  if (anew) remove_record(folder);  // not earlier: what is refused above leaves it as it was
  if (!resume) {
    model.store().initialise(config.run.seed);
    if (!options.init_from.empty()) load_weights(model.store(), options.init_from);
  }
  RunRecord record = resume ? RunRecord::resume(folder, *resume) : RunRecord::create(folder, manifest);

  Profiler profiler(device.machine);
  if (device.checker) model.training().set_observer(device.checker.get());
  if (options.profile) {
    model.training().set_observer(&profiler);
    model.optimizer().set_observer(&profiler);
  }
  Trainer trainer(config, model, train_data, validation, record, resume);
  Progress progress;
  watch(trainer, progress);
  std::int64_t profiled_from = resume ? resume->state.step : 0;
  if (options.profile) {
    const auto shown = trainer.report;
    trainer.report = [&, shown, first = profiled_from + 1](const StepReport& report) {
      if (report.step == first && report.step < report.steps) profiler.clear(), profiled_from = first;
      shown(report);
    };
  }
  const RunStatus status = trainer.run();
  progress.finish();
  if (options.profile) {
    fmt::print("{}", profiler.table(trainer.steps_done() - profiled_from, ceilings_of(device.machine, config)));
  }
  if (status == RunStatus::interrupted) {
    say(fmt::format("interrupted after step {}; go on with --resume", trainer.steps_done()));
    return kInterrupted;
  }
  say(fmt::format("{}: {} steps, validation loss {:.4f}, {}", folder.string(), trainer.steps_done(),
                  *trainer.val_loss(), duration_text(trainer.seconds())));
  return 0;
}

}  // namespace
}  // namespace isoloss

int main(int argc, char** argv) {
  using namespace isoloss;
  Options options;
  return run_program(
      argc, argv, "train", "Trains one model and writes its run folder.",
      "train nano --set data.train=tokens/train_*.bin --set data.val=tokens/val_*.bin --out runs/first",
      [&](CLI::App& app) {
        app.add_option("config", options.config, "A TOML file, or the name of a preset")->required();
        app.add_option("--set", options.set, "key=value, over the file's; may be repeated")->take_all();
        app.add_option("--out", options.out, "The run's folder; default runs/NAME of the config")->check(some_path());
        app.add_flag("--resume", options.resume, "Go on from the newest checkpoint in the run's folder");
        app.add_option("--init-from", options.init_from, "Start from these weights (safetensors)")->check(some_path());
        app.add_flag("--plan", options.plan, "Print nodes, memory and FLOPs, and train nothing");
        app.add_flag("--profile", options.profile, "Print time, FLOP/s and bytes/s op by op at the end");
        app.add_flag("--any-tokenizer", options.any_tokenizer,
                     "Also shards or weights of different tokenizers; ids are checked against the vocabulary alone");
        app.add_option("--sweep-label", options.sweep_label, "JSON that goes into the manifest")->group("");
        options.device.add_to(app, /*check=*/true);
      },
      [&] { return train(options); });
}
