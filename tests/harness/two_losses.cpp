#include "tests/harness/two_losses.h"

#include <doctest/doctest.h>

#include <vector>

#include "engine/step_runner.h"

namespace isoloss::test {

namespace {

constexpr std::int64_t kContext = 4, kWidth = 16, kVocab = 64;

Graph build(ParameterStore& store, std::int64_t rows, int micro_batches, DType real, bool training) {
  Graph graph(real);
  const auto parameter = [&](const std::string& name, const Shape& shape) {
    if (!store.has(name)) store.declare(name, shape, {Initialisation::Kind::normal, 0.3});
    return graph.add_parameter(name, shape);
  };
  const auto linear = [&](const std::string& name, ValueId x, std::int64_t out) {
    return graph.apply("linear", name, {{"activation", 0}, {"transposed", 0}},
                       {x, parameter(name + ".weight", {kWidth, out}), kAbsent});
  };
  Roles& roles = graph.roles;
  roles.ids = graph.add_input("ids", {DType::i32, {rows, kContext}});
  roles.targets = graph.add_input("targets", {DType::i32, {rows, kContext}});
  const ValueId table = parameter("table", {kVocab, kWidth});
  const ValueId x = graph.apply("embedding", "embedding", {{"sinusoidal", 0}}, {roles.ids, table, kAbsent});
  const double part = 1.0 / micro_batches;
  const auto head = graph.add("classifier", "head", {{"vocab", kVocab}, {"scale", part}},
                              {linear("body", x, kWidth), table, roles.targets});
  roles.token_losses = head[0], roles.loss = head[1];
  if (!training) {
    graph.finish_forward();
    return graph;
  }
  graph.add_loss(roles.loss);
  const ValueId first = graph.add_state("first", {DType::i32, {1, 1}});  // id 0, as memory starts
  const ValueId feature = graph.apply("embedding", "first.embedding", {{"sinusoidal", 0}}, {first, table, kAbsent});
  const ValueId score = linear("score", feature, 1);
  graph.add_loss(score, kSecondWeight * part);
  graph.add_metric("score", score);
  graph.differentiate();
  return graph;
}

double score_of(TrainingModel& model) {
  ParameterStore& store = model.store();
  store.to_host(ParameterStore::Part::values);
  const float *row = store.host_value("table").as<float>(), *weight = store.host_value("score.weight").as<float>();
  double score = 0;
  for (std::int64_t c = 0; c < kWidth; ++c) score += static_cast<double>(row[c]) * static_cast<double>(weight[c]);
  return score;
}

struct Step {
  double loss, metric, score;
};

std::vector<Step> three_steps(const Machine& machine) {
  const ModelGraphs graphs = two_losses();
  const RunConfig config = two_losses_config();
  TrainingModel model(TrainingPlan(graphs, config, machine.kind()), config, machine);
  model.store().initialise(4);
  const std::unique_ptr<StepRunner> steps = make_step_runner(model);
  std::vector<Step> done;
  for (std::int64_t number = 0; number < 3; ++number) {
    const double score = score_of(model);
    StepState state{.seed = 1, .step = number};
    model.optimizer().prepare(state, 1.0);
    steps->submit(state, [&](int micro, std::int32_t* ids, std::int32_t* targets) {
      for (std::int64_t i = 0; i < 3 * kContext; ++i) {
        ids[i] = static_cast<std::int32_t>((5 * i + micro + number) % kVocab);
        targets[i] = static_cast<std::int32_t>((7 * i + 2 * micro + number) % kVocab);
      }
    });
    const std::optional<StepResult> result = steps->next(/*drain=*/true);
    REQUIRE(result.has_value());
    REQUIRE(result->metrics.size() == 1);
    done.push_back({result->loss, result->metrics.front(), score});
  }
  return done;
}

}  // namespace

ModelGraphs two_losses() {
  return {[](ParameterStore& store, std::int64_t rows, int micro_batches, DType real) {
            return build(store, rows, micro_batches, real, true);
          },
          [](ParameterStore& store, std::int64_t rows, DType real) { return build(store, rows, 1, real, false); },
          kContext};
}

RunConfig two_losses_config() {
  RunConfig config;
  config.run.micro_batch = 3, config.run.batch_tokens = 6 * kContext, config.run.steps = 3, config.run.log_every = 1;
  config.optimizer.learning_rate = 0.01;
  return config;
}

void check_metrics(const std::function<Machine()>& make) {
  const std::vector<Step> expected = three_steps(DeviceKind::ref), found = three_steps(make());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    // Sums of 16 products of numbers below 1, in another order.
    CHECK(found[i].metric == doctest::Approx(found[i].score).epsilon(1e-5));
    CHECK(found[i].metric == doctest::Approx(expected[i].metric).epsilon(1e-4));
    CHECK(found[i].loss == doctest::Approx(expected[i].loss).epsilon(1e-4));
  }
  CHECK(expected[2].metric < expected[0].metric);  // it is minimised, too
}

}  // namespace isoloss::test
