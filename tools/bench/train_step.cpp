#include "tools/bench/train_step.h"

#include "engine/run_config.h"
#include "engine/training_model.h"
#include "kernels/core/error.h"
#include "kernels/core/philox.h"
#include "models/config.h"
#include "models/transformer.h"

namespace isoloss::bench {

namespace {

void fill_ids(const Tensor& tensor, std::int64_t vocab, std::uint64_t stream) {
  Philox random(5, stream);
  for (std::int64_t i = 0; i < tensor.count(); ++i) {
    tensor.as<std::int32_t>()[i] = static_cast<std::int32_t>(random.next() % static_cast<std::uint32_t>(vocab));
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

StepSpeed measure_training(const std::string& name, const std::vector<std::string>& overrides, DeviceKind device,
                           double seconds) {
  std::vector<Override> settings;
  for (const std::string& text : overrides) settings.push_back({text});
  const Configuration configuration = load_configuration(name, settings);
  if (configuration.model.vocab == 0) fail_input("model.vocab", "a vocabulary (--set model.vocab=N)", "none");
  TrainingPlan plan(model_graphs(configuration.model), configuration.run, device);
  StepSpeed result;
  result.planned_bytes = static_cast<double>(plan.total_bytes());
  result.cost = plan.step_cost();
  result.attention_flops = attention_flops(plan.training) * plan.micro_batches;
  TrainingModel model(std::move(plan), configuration.run, device);
  model.store().initialise(configuration.run.run.seed);
  result.tokens = model.rows() * model.micro_batches() * configuration.model.context;

  Executor& executor = model.training();
  StepState state;
  state.seed = configuration.run.run.seed;
  result.timing = time_of(seconds, [&] {
    model.optimizer().prepare(state, 1.0);
    for (int micro = 0; micro < model.micro_batches(); ++micro) {
      state.micro_batch = micro;
      fill_ids(executor.tensor("ids"), configuration.model.vocab, 2 * static_cast<std::uint64_t>(state.step));
      fill_ids(executor.tensor("targets"), configuration.model.vocab, 2 * static_cast<std::uint64_t>(state.step) + 1);
      executor.run(state);
    }
    model.optimizer().update(state);
    ++state.step;
  });
  return result;
}

}  // namespace isoloss::bench
