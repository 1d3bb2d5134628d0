// Whole runs on a tiny model: reproducibility, resume, equivalences, divergence.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/shard.h"
#include "engine/trainer.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"
#include "models/transformer.h"
#include "tests/harness/files.h"
#include "tests/harness/tiny_run.h"

using namespace isoloss;
using test::Outcome, test::tiny_config, test::tiny_spec, test::train, test::worst_difference;
namespace fs = std::filesystem;

namespace {

void check_same_bits(const Outcome& a, const Outcome& b) {
  CHECK(a.weights == b.weights);
  CHECK(a.losses == b.losses);
  CHECK(a.val_losses == b.val_losses);
}

struct ThreadGuard {
  int before = threads();
  ~ThreadGuard() { set_threads(before); }
};

}  // namespace

TEST_CASE("training learns, and evaluates at step 0, at every multiple and at the end") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.run.steps = 150;
  config.run.eval_every = 60;
  config.optimizer.learning_rate = 1e-2;
  const Outcome outcome = train(folder / "run", spec, config);
  CHECK(outcome.status == RunStatus::finished);
  CHECK(read_manifest(folder / "run").status == RunStatus::finished);
  CHECK(outcome.losses.size() == 150);
  REQUIRE(outcome.val_losses.size() == 4);                                             // 0, 60, 120, 150
  CHECK(outcome.val_losses.front() == doctest::Approx(std::log(50.0)).epsilon(0.05));  // an untrained model is uniform
  // The source's entropy is about 0.8 nats (one in eight of 50 symbols); a model that learns gets most of the way.
  CHECK(outcome.val_losses.back() < 2.0);
}

TEST_CASE("the same run twice gives the same bits, with any number of threads") {
  const test::TemporaryFolder folder;
  const ThreadGuard guard;
  ModelSpec spec = tiny_spec();
  spec.dropout = 0.1;
  const RunConfig config = tiny_config(spec);
  set_threads(2);
  const Outcome two = train(folder / "two", spec, config);
  check_same_bits(two, train(folder / "again", spec, config));
  set_threads(1);
  check_same_bits(two, train(folder / "one", spec, config));
  set_threads(3);
  check_same_bits(two, train(folder / "three", spec, config));
  RunConfig other = config;
  other.run.seed = 12;
  CHECK(train(folder / "other", spec, other).weights != two.weights);
}

TEST_CASE("a stopped run that resumes gives the bits of the run that never stopped") {
  const test::TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  spec.dropout = 0.1;
  RunConfig config = tiny_config(spec);
  config.run.checkpoint_every = 5;
  const Outcome whole = train(folder / "whole", spec, config);
  for (const std::int64_t stop : {0, 1, 3, 6, 10}) {
    CAPTURE(stop);
    const fs::path run = folder.path() / ("stopped_" + std::to_string(stop));
    const Outcome first = train(run, spec, config, false, stop);
    CHECK(first.status == RunStatus::interrupted);
    CHECK(read_manifest(run).status == RunStatus::interrupted);
    CHECK(static_cast<std::int64_t>(first.losses.size()) ==
          (stop == 0 ? 0 : stop + 1));  // the step under way is finished
    const Outcome second = train(run, spec, config, true);
    check_same_bits(whole, second);
    CHECK(second.log.starts_with(first.log));  // earlier lines stay byte for byte
  }
}

TEST_CASE("SGD trains with momentum and without, which keeps no moments") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.optimizer.kind = OptimizerKind::sgd;
  config.optimizer.learning_rate = 0.1;
  config.run.steps = 40;
  config.run.checkpoint_every = 20;
  for (const double momentum : {0.0, 0.9}) {
    CAPTURE(momentum);
    config.optimizer.beta1 = momentum;
    const fs::path run = folder.path() / std::to_string(momentum);
    const Outcome outcome = train(run, spec, config);
    CHECK(outcome.val_losses.back() < outcome.val_losses.front() - 0.05);
    const SafetensorsFile moments(run / "checkpoints/step_00000020/optimizer.safetensors");
    CHECK(moments.tensors().empty() == (momentum == 0));
  }
}

TEST_CASE("log_every thins the log, but never its last line; what a line says is so") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.run.log_every = 5;
  const auto steps_of = [](const std::string& log) {
    std::vector<int> steps;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) steps.push_back(nlohmann::json::parse(line).at("step"));
    return steps;
  };
  const Outcome whole = train(folder / "whole", spec, config);
  CHECK(steps_of(whole.log) == std::vector{5, 10, 12});
  CHECK(steps_of(train(folder / "stopped", spec, config, false, 6).log) == std::vector{5, 7});

  const auto last = nlohmann::json::parse(whole.log.substr(whole.log.rfind('{')));
  ParameterStore store;
  const double flops = training_graph(spec, store, 4, 1).cost().flops;
  CHECK(last.at("tokens") == 12 * 4 * 16);
  CHECK(last.at("flops") == 12 * flops);
  CHECK(last.at("learning_rate") == config.optimizer.learning_rate * schedule_factor(config.schedule, 11, 12));

  config.run.log_every = 1;
  const auto check_seconds = [](const std::string& log) {
    std::istringstream lines(log);
    double seconds = 0;  // of the whole run: every step adds what its speed says
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      const auto now = nlohmann::json::parse(line);
      seconds += 4 * 16 / now.at("tokens_per_second").get<double>();
      CHECK(now.at("seconds").get<double>() / seconds == doctest::Approx(1).epsilon(1e-9));
    }
    CHECK(count == 12);
  };
  check_seconds(train(folder / "each", spec, config).log);
  train(folder / "resumed", spec, config, false, 6);
  check_seconds(train(folder / "resumed", spec, config, true).log);  // a resumed run counts on, it does not begin at 0
}

TEST_CASE("2 micro-batches equal 1, dropout included") {
  const test::TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  spec.dropout = 0.1;
  RunConfig config = tiny_config(spec);
  const Outcome one = train(folder / "one", spec, config);
  config.run.micro_batch = 2;
  const Outcome two = train(folder / "two", spec, config);
  // The gradient is summed in another order: 1e-7 relative per step, amplified by 12 Adam steps.
  CHECK(worst_difference(one.losses, two.losses) < 1e-4);
  CHECK(worst_difference(one.val_losses, two.val_losses) < 1e-4);
}

TEST_CASE("3 micro-batches equal 1 in losses and in the size of gradients") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.optimizer.kind = OptimizerKind::sgd;  // unlike Adam's, its updates grow with the gradient
  config.optimizer.clip_norm = 0;
  config.optimizer.learning_rate = 0.3;
  config.run.micro_batch = 6;
  config.run.batch_tokens = 6 * spec.context;
  const Outcome one = train(folder / "one", spec, config);
  config.run.micro_batch = 2;
  const Outcome three = train(folder / "three", spec, config);
  const auto norms = [](const std::string& log) {
    std::vector<double> values;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) values.push_back(nlohmann::json::parse(line).at("grad_norm"));
    return values;
  };
  // Sums in another order: 1e-7 relative per step, losses and norms are of the order of 1.
  CHECK(worst_difference(one.losses, three.losses) < 1e-4);
  CHECK(worst_difference(norms(one.log), norms(three.log)) < 1e-4);
  CHECK(one.losses.back() < one.losses.front() - 0.05);  // the updates are large enough to tell
}

TEST_CASE("flash and naive attention train alike, with window and grouped heads") {
  const test::TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  spec.heads = 4, spec.kv_heads = 2, spec.window = 5, spec.dropout = 0.1;
  const RunConfig config = tiny_config(spec);
  const Outcome flash = train(folder / "flash", spec, config);
  spec.attention = Attention::naive;
  const Outcome naive = train(folder / "naive", spec, config);
  CHECK(worst_difference(flash.losses, naive.losses) < 1e-4);  // as above: another order of sums
}

TEST_CASE("cudnn attention without its device is the specification of flash") {
  const test::TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  spec.heads = 2, spec.kv_heads = 1, spec.window = 5;
  const Outcome flash = train(folder / "flash", spec, tiny_config(spec), false, -1, DeviceKind::ref);
  spec.attention = Attention::cudnn;
  const Outcome cudnn = train(folder / "cudnn", spec, tiny_config(spec), false, -1, DeviceKind::ref);
  CHECK(flash.losses == cudnn.losses);
}

TEST_CASE("multi-query equals multi-head with repeated key and value heads") {
  ModelSpec grouped = tiny_spec();
  grouped.heads = 4, grouped.kv_heads = 1;
  ModelSpec full = grouped;
  full.kv_heads = 4;
  const auto loss = [&](const ModelSpec& spec) {
    ParameterStore store;
    Graph graph = evaluation_graph(spec, store, 2);
    store.lay_out();
    store.allocate(false);
    store.initialise(5);
    // The wide projection gets the narrow one's key and value columns, once for each head.
    ParameterStore narrow;
    evaluation_graph(grouped, narrow, 2);
    narrow.lay_out();
    narrow.allocate(false);
    narrow.initialise(5);
    const std::int64_t C = spec.width, D = C / 4, wide_columns = 3 * C, columns = C + 2 * D;
    for (const ParameterInfo& info : narrow.all()) {
      if (info.name.find("c_attn.weight") == std::string::npos || spec.kv_heads == 1) continue;
      const float* from = narrow.value(info.name).as<float>();
      float* to = store.value(info.name).as<float>();
      for (std::int64_t row = 0; row < C; ++row) {
        for (std::int64_t column = 0; column < wide_columns; ++column) {
          const std::int64_t source = column < C ? column : column < 2 * C ? C + column % D : C + D + column % D;
          to[row * wide_columns + column] = from[row * columns + source];
        }
      }
    }
    Executor executor(std::move(graph), store, DeviceKind::cpu);
    for (std::int64_t i = 0; i < 2 * spec.context; ++i) {
      executor.tensor(executor.graph().roles.ids).as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 3 % 50);
      executor.tensor(executor.graph().roles.targets).as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7 % 50);
    }
    executor.run({});
    return static_cast<double>(*executor.tensor(executor.graph().roles.loss).as<float>());
  };
  CHECK(loss(grouped) == doctest::Approx(loss(full)).epsilon(1e-6));
}

TEST_CASE("decoding with caches gives the logits of the whole-sequence graph") {
  for (const Positions positions : {Positions::learned, Positions::rope, Positions::sinusoidal, Positions::none}) {
    ModelSpec spec = tiny_spec();
    spec.positions = positions;
    spec.width = 36, spec.heads = 6, spec.kv_heads = 2, spec.window = 6;  // three query heads to a key head
    spec.logit_softcap = positions == Positions::rope ? 0.05 : 0;         // of logits around 0.1
    CAPTURE(static_cast<int>(positions));
    ParameterStore store;
    Graph whole = evaluation_graph(spec, store, 1);
    Graph step = decoding_graph(spec, store);
    store.lay_out();
    store.allocate(false);
    store.initialise(5);
    Executor evaluation(std::move(whole), store, DeviceKind::cpu), decoding(std::move(step), store, DeviceKind::cpu);
    std::vector<std::int32_t> ids, targets;
    for (std::int64_t t = 0; t < spec.context; ++t) {
      ids.push_back(static_cast<std::int32_t>(t * 13 % 50));
      targets.push_back(static_cast<std::int32_t>((t + 1) * 13 % 50));
    }
    std::copy(ids.begin(), ids.end(), evaluation.tensor(evaluation.graph().roles.ids).as<std::int32_t>());
    std::copy(targets.begin(), targets.end(), evaluation.tensor(evaluation.graph().roles.targets).as<std::int32_t>());
    evaluation.run({});
    for (std::int64_t t = 0; t < spec.context; ++t) {
      *decoding.tensor(decoding.graph().roles.ids).as<std::int32_t>() = ids[static_cast<std::size_t>(t)];
      StepState state;
      state.position = t;
      decoding.run(state);
      const float* logits = decoding.tensor(decoding.graph().roles.logits).as<float>();
      double sum = 0;
      for (std::int64_t v = 0; v < spec.vocab; ++v) sum += std::exp(static_cast<double>(logits[v]));
      const double loss = std::log(sum) - static_cast<double>(logits[targets[static_cast<std::size_t>(t)]]);
      CHECK(loss == doctest::Approx(
                        static_cast<double>(evaluation.tensor(evaluation.graph().roles.token_losses).as<float>()[t]))
                        .epsilon(1e-5));
    }
  }
}

TEST_CASE("a run that diverges stops with the step and the first bad tensor, and keeps the checkpoint before") {
  ModelSpec spec = tiny_spec();
  spec.norm = Norm::none, spec.final_norm = Norm::none;
  RunConfig config = tiny_config(spec);
  config.run.checkpoint_every = 1;
  config.run.keep_checkpoints = 1;
  config.run.eval_every = 0;
  config.optimizer.kind = OptimizerKind::sgd;
  config.optimizer.clip_norm = 0;
  for (const bool overflows : {false, true}) {  // of the weights themselves, or only of the loss that they give
    CAPTURE(overflows);
    const test::TemporaryFolder folder;
    RunConfig good = config;
    good.run.steps = 3;
    good.optimizer.learning_rate = 1e-3;
    train(folder / "run", spec, good);
    config.run.steps = 6;
    config.optimizer.learning_rate = overflows ? 1e39 : 1e30;
    const std::string error = test::error_of([&] { train(folder / "run", spec, config, /*resume=*/true); });
    CHECK_MESSAGE(error.starts_with("1 [step 4]"), error);
    CHECK_MESSAGE((error.find("first bad: parameter ") != std::string::npos) == overflows, error);
    CHECK(read_manifest(folder / "run").status == RunStatus::diverged);
    const auto checkpoint = latest_checkpoint(folder / "run", [](std::string_view) {});
    REQUIRE(checkpoint.has_value());
    CHECK(checkpoint->state.step == 3);
  }
}

namespace {
/// A run of step 4 whose weights `change` has changed: how the run ends that goes on from there.
std::string error_from(const fs::path& run, const ModelSpec& spec, const RunConfig& config,
                       const std::function<void(ParameterStore&)>& change) {
  ParameterStore store;
  training_graph(spec, store, 1, 1);
  store.lay_out();
  store.allocate(false);
  store.allocate_moments(2);
  store.initialise(1);
  change(store);
  { const RunRecord record = RunRecord::create(run, Manifest{}); }
  TrainingState state;
  state.step = 4;
  save_checkpoint(run, state, model_tensors(store), optimizer_tensors(store), 1);
  return test::error_of([&] { train(run, spec, config, /*resume=*/true); });
}

void fill(ParameterStore& store, const std::string& name, float value) {
  const Tensor tensor = store.value(name);
  std::fill_n(tensor.as<float>(), tensor.count(), value);
}
}  // namespace

TEST_CASE("an infinite gradient behind a finite loss stops the run before it spoils the record") {
  const test::TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  spec.norm = Norm::none, spec.final_norm = Norm::none, spec.tie_embeddings = false;
  RunConfig config = tiny_config(spec);
  config.run.eval_every = 5;
  const std::string error = error_from(folder / "run", spec, config, [](ParameterStore& store) {
    // The last hidden layer is large and its product small: so is the loss, but not the gradient of that product.
    fill(store, "transformer.h.1.mlp.c_fc.bias", 1e14f);
    fill(store, "transformer.h.1.mlp.c_proj.weight", 0);
    float* classifier = store.value("lm_head.weight").as<float>();
    for (std::int64_t i = 0; i < 50 * 32; ++i) classifier[i] *= 1e30f;
  });
  CAPTURE(error);
  CHECK(error.starts_with("1 [step 5] expected a finite loss and gradient, got loss "));
  CHECK(error.find("loss inf") == std::string::npos);
  CHECK(error.find("loss nan") == std::string::npos);
  CHECK(error.find("gradient norm inf; first bad: gradient of transformer.h.1.mlp.c_proj.weight") != std::string::npos);
  CHECK(read_manifest(folder / "run").status == RunStatus::diverged);
  CHECK(read_file(folder / "run/log.jsonl").empty());
}

TEST_CASE("an evaluation that is not finite is no line of the record, but the end of the run") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  const std::string error = error_from(folder / "run", spec, tiny_config(spec), [](ParameterStore& store) {
    fill(store, "transformer.ln_f.bias", std::nanf(""));
  });
  CHECK(error ==
        "1 [step 4] expected a finite loss and gradient, got loss nan, gradient norm 0; first bad: parameter "
        "transformer.ln_f.bias (element 0)");
  CHECK(read_file(folder / "run/eval.jsonl").empty());
  CHECK(read_manifest(folder / "run").status == RunStatus::diverged);
}
