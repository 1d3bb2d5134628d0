// Differentiation and memory planning on small hand-made graphs.
#include "engine/graph.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include "engine/executor.h"
#include "engine/plan.h"
#include "tests/harness/files.h"

using namespace isoloss;

namespace {

constexpr std::int64_t kRows = 2, kTokens = 4, kWidth = 8, kVocab = 64;

/// embedding -> `body` -> classifier, differentiated.
template <class Body>
Graph small_graph(Body&& body, DType real = DType::f32) {
  Graph graph(real);
  const ValueId ids = graph.add_input("ids", {DType::i32, {kRows, kTokens}});
  const ValueId targets = graph.add_input("targets", {DType::i32, {kRows, kTokens}});
  const ValueId table = graph.add_parameter("table", {kVocab, kWidth});
  const ValueId x = graph.apply("embedding", "embedding", {{"sinusoidal", 0}}, {ids, table, kAbsent});
  const ValueId y = body(graph, x);
  const auto head = graph.add("classifier", "head", {{"vocab", kVocab}, {"scale", 1}}, {y, table, targets});
  graph.add_loss(head[1]);
  graph.differentiate();
  return graph;
}

/// `weight`: another node's, if not its own.
ValueId linear(Graph& graph, const std::string& name, ValueId x, const std::string& weight = "") {
  const std::string of = weight.empty() ? name : weight;
  return graph.apply("linear", name, {{"activation", 0}, {"transposed", 0}},
                     {x, graph.add_parameter(of + ".weight", {kWidth, kWidth}), kAbsent});
}

const Node& backward_of(const Graph& graph, std::string_view name, std::string_view op) {
  const auto found = std::find_if(graph.nodes().begin(), graph.nodes().end(),
                                  [&](const Node& node) { return node.name == name && node.op->name == op; });
  REQUIRE(found != graph.nodes().end());
  return *found;
}

Mode mode_of(const Node& node, const char* port) { return node.mode[static_cast<std::size_t>(node.op->output(port))]; }

struct Store {
  explicit Store(const Graph& graph, DType real) : store(real) {
    for (const Value& value : graph.values()) {
      if (value.kind == ValueKind::parameter)
        store.declare(value.name, value.type.shape, {Initialisation::Kind::normal, 0.4});
    }
    store.lay_out();
    store.allocate(true);
    store.initialise(3);
  }
  ParameterStore store;
};

void fill_ids(Executor& executor) {
  for (std::int64_t i = 0; i < kRows * kTokens; ++i) {
    executor.tensor("ids").as<std::int32_t>()[i] = static_cast<std::int32_t>((i * 7) % 5);
    executor.tensor("targets").as<std::int32_t>()[i] = static_cast<std::int32_t>((i * 3 + 1) % kVocab);
  }
}

/// Every parameter gradient of the graph against central differences of its loss, in double.
void check_gradients(const Graph& graph) {
  Store parameters(graph, DType::f64);
  ParameterStore& store = parameters.store;
  Executor executor(graph, store, DeviceKind::ref);
  const auto loss = [&] {
    fill_ids(executor);
    executor.run({});
    return *executor.tensor("head.loss").as<double>();
  };
  for (const ParameterInfo& info : store.all()) {
    CAPTURE(info.name);
    loss();
    const std::vector<double> analytic(store.gradient(info.name).as<double>(),
                                       store.gradient(info.name).as<double>() + info.count());
    double* values = store.value(info.name).as<double>();
    for (std::int64_t i = 0; i < info.count(); i += 5) {
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

}  // namespace

TEST_CASE("a tied parameter's gradient is written once and then accumulated") {
  const Graph graph = small_graph([](Graph& g, ValueId x) { return linear(g, "a", x); });
  CHECK(mode_of(backward_of(graph, "head", "classifier_gradient"), "dw") == Mode::write);
  CHECK(mode_of(backward_of(graph, "embedding", "embedding_backward"), "dtoken") == Mode::accumulate);
}

TEST_CASE("gradients through residual additions, shared inputs and chains equal finite differences") {
  SUBCASE("chain") {
    check_gradients(small_graph([](Graph& g, ValueId x) { return linear(g, "b", linear(g, "a", x)); }, DType::f64));
  }
  SUBCASE("residual around one linear: the branch reads the very gradient that it would accumulate into") {
    check_gradients(small_graph(
        [](Graph& g, ValueId x) {
          return g.apply("add", "sum", {}, {x, linear(g, "a", x)});
        },
        DType::f64));
  }
  SUBCASE("residual around two") {
    check_gradients(small_graph(
        [](Graph& g, ValueId x) {
          return g.apply("add", "sum", {}, {x, linear(g, "b", linear(g, "a", x))});
        },
        DType::f64));
  }
  SUBCASE("one value into three consumers") {
    check_gradients(small_graph(
        [](Graph& g, ValueId x) {
          const ValueId a = linear(g, "a", x), b = linear(g, "b", x), c = linear(g, "c", x);
          return g.apply("add", "s2", {}, {g.apply("add", "s1", {}, {a, b}), c});
        },
        DType::f64));
  }
  SUBCASE("a gradient that two share, the other of whom needs it after more has come to the one") {
    check_gradients(small_graph(
        [](Graph& g, ValueId x) {
          const ValueId z = linear(g, "z", x), y = linear(g, "y", x), branch = linear(g, "b", linear(g, "a", y));
          return g.apply("add", "s2", {}, {g.apply("add", "s1", {}, {y, z}), branch});
        },
        DType::f64));
  }
  SUBCASE("a value added to itself") {
    check_gradients(small_graph(
        [](Graph& g, ValueId x) {
          const ValueId a = linear(g, "a", x);
          return g.apply("add", "twice", {}, {a, a});
        },
        DType::f64));
  }
  SUBCASE("the sum of both operands of a sum") {
    check_gradients(small_graph(
        [](Graph& g, ValueId x) {
          const ValueId a = linear(g, "a", x);
          const ValueId s = g.apply("add", "s", {}, {a, x});
          return g.apply("add", "t", {}, {s, a});
        },
        DType::f64));
  }
  SUBCASE("shared weights inside the chain") {
    check_gradients(
        small_graph([](Graph& g, ValueId x) { return linear(g, "b", linear(g, "a", x), "a"); }, DType::f64));
  }
}

TEST_CASE("a shared gradient is split only while somebody else still needs it") {
  const auto splits = [](auto body) {
    const Graph graph = small_graph(body);
    return std::count_if(graph.nodes().begin(), graph.nodes().end(),
                         [](const Node& node) { return node.backward && node.op->name == "add"; });
  };
  CHECK(splits([](Graph& g, ValueId x) { return g.apply("add", "sum", {}, {x, linear(g, "a", x)}); }) == 1);
  CHECK(splits([](Graph& g, ValueId x) {
          return g.apply("add", "sum", {}, {x, linear(g, "b", linear(g, "a", x))});
        }) == 0);
}

TEST_CASE("two gradients of one value that a node computes stand in two buffers") {
  const Graph graph = small_graph([](Graph& g, ValueId x) {
    const ValueId a = linear(g, "a", x);
    return g.apply("swiglu", "both", {}, {a, a});
  });
  const Node& node = backward_of(graph, "both", "swiglu_backward");
  CHECK(node.out[0] != node.out[1]);
  CHECK(mode_of(node, "dup") == Mode::write);
}

TEST_CASE("a parameter whose gradient would be another value's buffer is refused") {
  const auto shifted = [](Graph& graph, ValueId x) {
    const ValueId shift = graph.add_parameter("shift", {kRows, kTokens, kWidth});
    return graph.add("add", "sum", {}, {x, shift}).front();
  };
  CHECK_THROWS_WITH_AS(small_graph(shifted), "sum: a parameter's gradient must come from an op that can accumulate",
                       std::logic_error);
}

TEST_CASE("micro-batches accumulate parameter gradients, and the first one overwrites") {
  const Graph graph = small_graph([](Graph& g, ValueId x) { return linear(g, "a", x); });
  Store parameters(graph, DType::f32);
  Executor executor(graph, parameters.store, DeviceKind::cpu);
  const auto gradient = [&] {
    return std::vector<float>(parameters.store.gradients().as<float>(),
                              parameters.store.gradients().as<float>() + parameters.store.elements());
  };
  fill_ids(executor);
  executor.run({});
  const std::vector<float> once = gradient();
  StepState second;
  second.micro_batch = 1;
  executor.run(second);
  const std::vector<float> twice = gradient();
  executor.run({});
  CHECK(gradient() == once);
  double worst = 0;
  for (std::size_t i = 0; i < once.size(); ++i) worst = std::max<double>(worst, std::abs(twice[i] - 2 * once[i]));
  CHECK(worst < 1e-6);  // the second pass adds row by row: rounding of sums of values below 1
}

TEST_CASE("the memory plan never lets two live values overlap, and reuses memory") {
  const Graph graph = small_graph([](Graph& g, ValueId x) {
    for (int i = 0; i < 6; ++i) {
      const std::string name = "l" + std::to_string(i);
      x = g.apply("add", name + ".sum", {}, {x, linear(g, name + ".b", linear(g, name + ".a", x))});
    }
    return x;
  });
  const MemoryPlan plan = plan_memory(graph, DeviceKind::cpu, 2);
  for (std::size_t a = 0; a < plan.buffers.size(); ++a) {
    for (std::size_t b = a + 1; b < plan.buffers.size(); ++b) {
      const auto &p = plan.buffers[a], &q = plan.buffers[b];
      const bool together = p.first <= q.last && q.first <= p.last;
      const bool overlap = p.offset < q.offset + q.bytes && q.offset < p.offset + p.bytes;
      CHECK_FALSE((together && overlap));
    }
    CHECK(plan.buffers[a].offset % MemoryPlan::kAlignment == 0);
  }
  CHECK(plan.arena_bytes >= plan.live_bytes);
  CHECK(plan.arena_bytes < plan.unshared_bytes);
}

// That operations are right both in place and not is checked for each of them in tests/kernels.
TEST_CASE("an output takes over the buffer of an input that dies there, where its port allows it") {
  const auto body = [](Graph& g, ValueId x) {
    return g.apply("add", "sum", {}, {linear(g, "a", x), linear(g, "b", x)});
  };
  const Graph graph = small_graph(body);
  const MemoryPlan plan = plan_memory(graph, DeviceKind::cpu, 1);
  const Node& sum = backward_of(graph, "sum", "add");
  CHECK(plan.offset(sum.out[0]) == plan.offset(sum.in[0]));
}

TEST_CASE("an output does not take over an input that it reads twice, or that somebody reads later") {
  const auto offsets_of_sum = [](const Graph& graph) {
    const MemoryPlan plan = plan_memory(graph, DeviceKind::cpu, 1);
    const Node& sum = backward_of(graph, "sum", "add");
    return std::pair(plan.offset(sum.in[0]), plan.offset(sum.out[0]));
  };
  const auto [twice, of_twice] = offsets_of_sum(small_graph([](Graph& g, ValueId x) {
    const ValueId a = linear(g, "a", x);
    return g.apply("add", "sum", {}, {a, a});
  }));
  CHECK(twice != of_twice);
  const auto [read_later, of_read_later] = offsets_of_sum(small_graph([](Graph& g, ValueId x) {
    const ValueId a = linear(g, "a", x), sum = g.apply("add", "sum", {}, {a, x});
    return g.apply("add", "later", {}, {sum, a});
  }));
  CHECK(read_later != of_read_later);

  Graph forward;
  const TensorType real{DType::f32, {kRows, kTokens, kWidth}};
  const ValueId x = forward.add_input("x", real);  // the caller may run again on what it filled
  forward.apply("add", "sum", {}, {x, linear(forward, "a", x)});
  forward.finish_forward();
  const auto [filled, of_filled] = offsets_of_sum(forward);
  CHECK(filled != of_filled);
}

TEST_CASE("null-like use: planning and counting need no memory") {
  const Graph graph = small_graph([](Graph& g, ValueId x) { return linear(g, "a", x); });
  const double rows = kRows * kTokens;
  // linear: forward 2·rows·W², backward twice that; classifier: 3 products of 2·rows·W·V.
  const double expected = 3 * 2 * rows * kWidth * kWidth + 3 * 2 * rows * kWidth * kVocab;
  CHECK(graph.cost().matmul_flops == doctest::Approx(expected).epsilon(1e-12));
  CHECK(plan_text(graph, plan_memory(graph, DeviceKind::cpu, 2)).find("linear_backward") != std::string::npos);
}

TEST_CASE("a value that no machine could hold is one line, not an overflow") {
  Graph graph;
  const auto error = [&](const Shape& shape) { return test::error_of([&] { graph.add_parameter("table", shape); }); };
  constexpr std::int64_t large = std::int64_t{1} << 24;
  CHECK(error({large, large, large, large}) ==
        "2 [table] expected a tensor of at most 1 TiB, got f32[16777216, 16777216, 16777216, 16777216]");
  CHECK(error({large, large}).starts_with("2 [table]"));
  CHECK(error({large, large / 1024 + 1}).starts_with("2 [table]"));
  CHECK(error({large, 16384}).empty());  // 2^40 bytes
}
