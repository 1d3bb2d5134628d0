// Losses as values: any number of them, with weights, anywhere in the graph.
#include <doctest/doctest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/loader.h"
#include "data/shard.h"
#include "engine/executor.h"
#include "engine/trainer.h"
#include "kernels/base/file.h"
#include "tests/harness/files.h"
#include "tests/harness/two_losses.h"

using namespace isoloss;

namespace {

constexpr std::int64_t kSequences = 2, kLength = 3, kFeatures = 8, kIds = 64;

/// Token table -> x, from which a test goes on.
struct Beginning {
  Graph graph{DType::f64};
  ValueId ids, targets, others, table, x;

  Beginning() {
    const TensorType tokens{DType::i32, {kSequences, kLength}};
    ids = graph.add_input("ids", tokens), targets = graph.add_input("targets", tokens);
    others = graph.add_input("others", tokens);
    table = graph.add_parameter("table", {kIds, kFeatures});
    x = graph.apply("embedding", "embedding", {{"sinusoidal", 0}}, {ids, table, kAbsent});
  }
  ValueId linear(const std::string& name, ValueId from, std::int64_t out = kFeatures) {
    return graph.apply("linear", name, {{"activation", 0}, {"transposed", 0}},
                       {from, graph.add_parameter(name + ".weight", {kFeatures, out}), kAbsent});
  }
  ValueId head(const std::string& name, ValueId from, ValueId of, double scale = 1) {
    return graph.add("classifier", name, {{"vocab", kIds}, {"scale", scale}}, {from, table, of})[1];
  }
  /// One number: a single token's features times a vector.
  ValueId score(const std::string& name) {
    const ValueId first = graph.add_state(name + ".first", {DType::i32, {1, 1}});  // id 0
    const ValueId row = graph.apply("embedding", name + ".row", {{"sinusoidal", 0}}, {first, table, kAbsent});
    return linear(name, row, 1);
  }
};

std::string logic_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

/// Every parameter gradient of the differentiated graph against central differences of `total`, in double.
void check_weighted_sum(const Graph& graph, const std::function<double(const Executor&)>& total) {
  ParameterStore store(DType::f64);
  for (const Value& value : graph.values()) {
    if (value.kind == ValueKind::parameter)
      store.declare(value.name, value.type.shape, {Initialisation::Kind::normal, 0.4});
  }
  store.lay_out();
  store.allocate(true);
  store.initialise(3);
  Executor executor(graph, store, DeviceKind::ref);
  const auto loss = [&] {
    for (std::int64_t i = 0; i < kSequences * kLength; ++i) {
      executor.tensor("ids").as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7 % 5);
      executor.tensor("targets").as<std::int32_t>()[i] = static_cast<std::int32_t>((i * 3 + 1) % kIds);
      executor.tensor("others").as<std::int32_t>()[i] = static_cast<std::int32_t>((i * 5 + 2) % kIds);
    }
    executor.run({});
    return total(executor);
  };
  for (const ParameterInfo& info : store.all()) {
    CAPTURE(info.name);
    loss();
    const double* gradient = store.gradient(info.name).as<double>();
    const std::vector<double> analytic(gradient, gradient + info.count());
    double* values = store.value(info.name).as<double>();
    for (std::int64_t i = 0; i < info.count(); i += 3) {
      constexpr double h = 1e-5;  // truncation h², rounding 1e-16 / h: both far below the bound
      const double kept = values[i];
      values[i] = kept + h;
      const double up = loss();
      values[i] = kept - h;
      const double down = loss();
      values[i] = kept;
      CHECK(analytic[static_cast<std::size_t>(i)] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-6).scale(1e-2));
    }
  }
}

double number(const Executor& executor, ValueId value) { return *executor.tensor(value).as<double>(); }

}  // namespace

TEST_CASE("losses: the gradient is that of their weighted sum") {
  SUBCASE("two heads on one value, the first in the middle of the graph") {
    Beginning b;
    const ValueId a = b.linear("a", b.x), early = b.head("early", a, b.others),
                  late = b.head("late", b.linear("c", a), b.targets);
    b.graph.add_loss(late);
    b.graph.add_loss(early, 0.3);
    b.graph.differentiate();
    check_weighted_sum(b.graph, [&](const Executor& e) { return number(e, late) + 0.3 * number(e, early); });
  }
  SUBCASE("two heads on the very same value") {
    Beginning b;
    const ValueId a = b.linear("a", b.x), one = b.head("one", a, b.targets), two = b.head("two", a, b.others);
    b.graph.add_loss(one, 2);
    b.graph.add_loss(two, 0.5);
    b.graph.differentiate();
    check_weighted_sum(b.graph, [&](const Executor& e) { return 2 * number(e, one) + 0.5 * number(e, two); });
  }
  SUBCASE("a head, and numbers that ordinary operations give") {
    Beginning b;
    const ValueId first = b.score("first"), head = b.head("head", b.linear("a", b.x), b.targets),
                  second = b.score("second");
    b.graph.add_loss(first, -0.7);
    b.graph.add_loss(head);
    b.graph.add_loss(second, 0.2);
    b.graph.differentiate();
    check_weighted_sum(b.graph, [&](const Executor& e) {
      return -0.7 * number(e, first) + number(e, head) + 0.2 * number(e, second);
    });
  }
  SUBCASE("no head at all") {
    Beginning b;
    const ValueId score = b.score("score");
    b.graph.add_loss(score, 3);
    b.graph.differentiate();
    check_weighted_sum(b.graph, [&](const Executor& e) { return 3 * number(e, score); });
  }
  SUBCASE("a head that is only looked at sends no gradient") {
    Beginning b;
    const ValueId a = b.linear("a", b.x), seen = b.head("seen", a, b.others), head = b.head("head", a, b.targets);
    b.graph.add_loss(head);
    b.graph.differentiate();
    check_weighted_sum(b.graph, [&](const Executor& e) { return number(e, head) + 0 * number(e, seen); });
  }
}

TEST_CASE("losses: what is a loss or has a role is kept to the end, although a node reads it") {
  Beginning b;
  const ValueId score = b.score("score");
  b.graph.add_loss(score);
  b.graph.add_metric("score", score);
  b.graph.differentiate();
  const MemoryPlan plan = plan_memory(b.graph, DeviceKind::cpu, 1);
  const auto buffer = static_cast<std::size_t>(plan.buffer_of[static_cast<std::size_t>(score)]);
  CHECK(plan.buffers[buffer].last == static_cast<int>(b.graph.nodes().size()));
}

TEST_CASE("losses: what cannot be differentiated is said by name") {
  const auto of = [](const std::function<void(Beginning&)>& build) {
    return logic_error_of([&] {
      Beginning b;
      build(b);
      b.graph.differentiate();
    });
  };
  CHECK(of([](Beginning&) {}) == "a graph is differentiated from its losses; it has none");
  CHECK(of([](Beginning& b) {
          b.linear("aside", b.x);
          b.graph.add_loss(b.head("head", b.x, b.targets));
        }) == "no loss reaches the parameter aside.weight");
  CHECK(of([](Beginning& b) {
          for (const char* name : {"p", "q", "r", "s"}) b.linear(name, b.x);
          b.graph.add_loss(b.head("head", b.x, b.targets));
        }) == "no loss reaches the parameter p.weight");  // the first declared
  CHECK(of([](Beginning& b) {
          const ValueId score = b.score("score");
          b.graph.add_loss(score), b.graph.add_loss(score);
        }) == "score.y: a loss that is there twice");
  CHECK(of([](Beginning& b) { b.graph.add_loss(b.linear("a", b.x)); }) ==
        "a.y: a loss is one number, not f64[2, 3, 8]");
  CHECK(of([](Beginning& b) {
          const TensorType one{DType::f64, {1}};
          b.graph.add_loss(b.graph.apply("add", "sum", {}, {b.graph.add_input("p", one), b.graph.add_input("q", one)}));
        }) == "sum.y: a loss that depends on no parameter");
  CHECK(of([](Beginning& b) {
          const ValueId score = b.score("score");
          b.graph.add_loss(b.head("head", b.x, b.targets));
          b.graph.add_loss(b.graph.apply("fill", "constant", {{"value", 1}}, {score}));
        }) == "constant: no gradient goes through fill");
  CHECK(of([](Beginning& b) { b.graph.add_loss(kAbsent); }) == "a loss that is no value");
}

TEST_CASE("losses: no gradient is lost at a head, which would start with its own weight") {
  const std::string told = "head: a head's value can be a loss once, and nothing that a loss is computed from";
  const auto of = [](const std::function<void(Beginning&, ValueId)>& add_losses) {
    Beginning b;
    add_losses(b, b.head("head", b.linear("a", b.x), b.targets));
    return logic_error_of([&] { b.graph.differentiate(); });
  };
  const auto twice = [](Beginning& b, ValueId head) { return b.graph.apply("add", "twice", {}, {head, head}); };
  CHECK(of([](Beginning& b, ValueId head) { b.graph.add_loss(head), b.graph.add_loss(head, 0.5); }) == told);
  CHECK(of([&](Beginning& b, ValueId head) { b.graph.add_loss(twice(b, head), 0.5); }) == told);
  CHECK(of([&](Beginning& b, ValueId head) { b.graph.add_loss(head), b.graph.add_loss(twice(b, head)); }) == told);
  // Other numbers may be computed from it.
  CHECK(of([&](Beginning& b, ValueId head) {
          b.graph.add_loss(head), b.graph.add_metric("twice", twice(b, head));
        }).empty());
}

TEST_CASE("metrics: what is none is refused, and one that no node reads is computed") {
  Beginning b;
  const ValueId score = b.score("score");
  const auto error = [&](const std::string& name, ValueId value) {
    return logic_error_of([&] { b.graph.add_metric(name, value); });
  };
  CHECK(error("balance_2", score).empty());
  CHECK(error("balance_2", score) == "the graph has two metrics 'balance_2'");
  for (const char* name : {"", "a\"b", "Balance", "z loss"}) {
    CHECK(error(name, score) ==
          "a metric's name is small letters, digits and underscores, not '" + std::string(name) + "'");
  }
  CHECK(error("x", b.x) == "metric x: expected one f32 number, got f64[2, 3, 8]");
  CHECK(error("first", b.graph.find("score.first")) == "metric first: expected one f32 number, got i32[1, 1]");
  CHECK(error("none", kAbsent) == "metric none: no value");

  // A norm's statistics are outputs for the backward pass alone, unless somebody wants them.
  const auto statistic = [&](bool wanted) {
    Graph graph;
    const ValueId x = graph.add_input("x", {DType::f32, {1, 1, kFeatures}});
    const auto out = graph.add("rmsnorm", "norm", {{"epsilon", 1e-5}}, {x, graph.add_parameter("w", {kFeatures})});
    const auto port = static_cast<std::size_t>(find_op("rmsnorm").output("rstd"));
    if (wanted) graph.add_metric("rstd", out[port]);
    graph.finish_forward();
    return graph.nodes().front().out[port] != kAbsent;
  };
  CHECK(statistic(true));
  CHECK_FALSE(statistic(false));
}

TEST_CASE("graph: two nodes, or two values, of one name are refused") {
  Beginning b;
  b.linear("a", b.x);
  CHECK(logic_error_of([&] { b.linear("a", b.x); }) == "the graph has two nodes 'a'");
  CHECK(logic_error_of([&] {
          b.graph.apply("softcap", "capped", {{"cup", 2}}, {b.x});
        }) == "softcap knows no attribute 'cup'");
  CHECK(logic_error_of([&] { b.graph.add_input("ids", {DType::i32, {1}}); }) == "the graph has two values 'ids'");
  CHECK(logic_error_of([&] { b.graph.add_parameter("ids", {1}); }) == "the graph has two values 'ids'");
  b.graph.add_state("c.y", {DType::i32, {1}});
  CHECK(logic_error_of([&] { b.linear("c", b.x); }) == "the graph has two values 'c.y'");
}

TEST_CASE("steps on the host bring back the mean of a metric over the micro-batches") {
  test::check_metrics([] { return Machine(DeviceKind::cpu); });
}

TEST_CASE("a run's log has a field a metric, after all others") {
  const test::TemporaryFolder folder;
  const auto shard = [&](const char* name) {
    ShardWriter writer(folder / name, 2);
    std::vector<std::uint32_t> ids;
    for (std::uint32_t i = 0; i < 200; ++i) ids.push_back(i * 7 % 50);
    writer.append(ids);
    writer.finish();
    return folder / name;
  };
  const TokenDataset train({shard("train.bin")}), held_out({shard("val.bin")});
  const RunConfig config = test::two_losses_config();
  const ModelGraphs graphs = test::two_losses();
  const EvalWindows validation(held_out, graphs.context, 0);
  TrainingModel model(TrainingPlan(graphs, config, DeviceKind::cpu), config, DeviceKind::cpu);
  model.store().initialise(4);
  RunRecord record = RunRecord::create(folder / "run", Manifest{});
  Trainer trainer(config, model, train, validation, record, std::nullopt);
  CHECK(trainer.run() == RunStatus::finished);
  std::istringstream log(read_file(folder / "run/log.jsonl"));
  std::vector<double> scores;
  for (std::string line; std::getline(log, line);) {
    const auto fields = nlohmann::ordered_json::parse(line);
    CHECK(fields.back() == fields.at("score"));
    CHECK(fields.size() == 9);
    scores.push_back(fields.at("score").get<double>());
  }
  REQUIRE(scores.size() == 3);
  CHECK(scores[2] < scores[0]);
}
