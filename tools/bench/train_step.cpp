#include "tools/bench/train_step.h"

#include "engine/step_runner.h"
#include "kernels/base/error.h"
#include "kernels/base/philox.h"
#include "models/config.h"
#include "models/transformer.h"
#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

void fill_ids(std::int32_t* ids, std::int64_t count, std::int64_t vocab, std::uint64_t stream) {
  Philox random(5, stream);
  for (std::int64_t i = 0; i < count; ++i) {
    ids[i] = static_cast<std::int32_t>(random.next() % static_cast<std::uint32_t>(vocab));
  }
}

double attention_flops(const Graph& graph) {
  double sum = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op->name.starts_with("attention")) sum += graph.cost(node).matmul_flops;
  }
  return sum;
}

}  // namespace

StepSpeed measure_training(const std::string& name, const std::vector<std::string>& overrides, const Machine& machine,
                           Precision precision, double seconds) {
  std::vector<Override> settings;
  for (const std::string& text : overrides) {
    if (text.starts_with("run.precision")) fail_input("--set", "the precision in --precision", text);
    settings.push_back({text});
  }
  Configuration configuration = load_configuration(name, settings);
  configuration.run.run.precision = precision;
  if (configuration.model.vocab == 0) fail_input("model.vocab", "a vocabulary (--set model.vocab=N)", "none");
  TrainingPlan plan(model_graphs(configuration.model), configuration.run, machine.kind());
  StepSpeed result;
  result.planned_bytes = static_cast<double>(plan.total_bytes());
  result.cost = plan.step_cost();
  result.attention_flops = attention_flops(plan.training) * plan.micro_batches;
  TrainingModel model(std::move(plan), configuration.run, machine);
  model.store().initialise(configuration.run.run.seed);
  const std::int64_t micro_tokens = model.rows() * configuration.model.context;
  result.tokens = micro_tokens * model.micro_batches();

  const std::unique_ptr<StepRunner> steps = make_step_runner(model);
  StepState state;
  state.seed = configuration.run.run.seed;
  std::vector<double> times;
  const auto take = [&](bool drain) {
    while (const std::optional<StepResult> step = steps->next(drain)) times.push_back(step->seconds);
  };
  constexpr std::size_t kLeast = 4;  // the first does not count
  for (double start = now_seconds(); times.size() < kLeast || now_seconds() - start < seconds; ++state.step) {
    if (interrupted()) break;
    model.optimizer().prepare(state, 1.0);
    steps->submit(state, [&](int micro, std::int32_t* ids, std::int32_t* targets) {
      const std::uint64_t stream = 2 * static_cast<std::uint64_t>(state.step * model.micro_batches() + micro);
      fill_ids(ids, micro_tokens, configuration.model.vocab, stream);
      fill_ids(targets, micro_tokens, configuration.model.vocab, stream + 1);
    });
    take(/*drain=*/false);
    if (state.step == 0) {
      take(/*drain=*/true);
      start = now_seconds();
    }
  }
  take(/*drain=*/true);
  if (!times.empty()) times.erase(times.begin());
  result.timing = summary(std::move(times));
  return result;
}

}  // namespace isoloss::bench
