// What the builder says of a parameter reaches the optimizer: groups, rates, decay, matrices.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/optimizer.h"

using namespace isoloss;

namespace {

const Initialisation kNormal{Initialisation::Kind::normal, 0.5};

const std::set<std::string> kDecaying{"matrix", "vector", "stack", "packed", "padded"};

/// A matrix, a vector, a stack and a packed matrix; two of them at other rates, a matrix that does not decay and a
/// vector that does.
ParameterStore small_store(DType dtype) {
  ParameterStore store(dtype);
  store.declare("matrix", {5, 7}, kNormal);
  store.declare("vector", {9}, kNormal, -1, {.decays = true});
  store.declare("stack", {3, 4, 6}, kNormal, -1, {.rate_factor = 0.25});
  store.declare("gain", {9}, kNormal);
  store.declare("packed", {4, 10}, kNormal, -1, {.columns = {4, 3, 3}});
  store.declare("still", {3, 3}, kNormal, -1, {.decays = false, .rate_factor = 0.25});
  store.declare("padded", {8, 2}, kNormal, 5);
  store.lay_out();
  store.allocate(true);
  store.initialise(11);
  return store;
}

std::vector<double> numbers_of(const Tensor& tensor) {
  return {tensor.as<double>(), tensor.as<double>() + tensor.count()};
}

OptimizerConfig config_of(OptimizerKind kind) {
  OptimizerConfig config;
  config.kind = kind;
  config.learning_rate = 0.02, config.weight_decay = 0.3, config.clip_norm = 0.7;
  config.beta1 = 0.8, config.beta2 = 0.9, config.epsilon = 1e-6;
  return config;
}

/// Three updates of every number by itself, as the formulas stand in adamw.h and sgd.h.
std::map<std::string, std::vector<double>> by_hand(const ParameterStore& start, const OptimizerConfig& config,
                                                   const std::vector<double>& gradients) {
  std::map<std::string, std::vector<double>> result;
  double squares = 0;
  for (const double g : gradients) squares += g * g;
  const double clip = std::min(1.0, config.clip_norm / (std::sqrt(squares) + 1e-6));
  for (const ParameterInfo& info : start.all()) {
    std::vector<double> values = numbers_of(start.value(info.name));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double g = clip * gradients[static_cast<std::size_t>(info.offset) + i];
      const double rate = config.learning_rate * info.role.rate_factor;
      double m = 0, v = 0;
      for (int step = 1; step <= 3; ++step) {
        if (kDecaying.contains(info.name)) values[i] *= 1 - rate * config.weight_decay;
        if (config.kind == OptimizerKind::adamw) {
          m = config.beta1 * m + (1 - config.beta1) * g, v = config.beta2 * v + (1 - config.beta2) * g * g;
          const double first = m / (1 - std::pow(config.beta1, step)), second = v / (1 - std::pow(config.beta2, step));
          values[i] -= rate * first / (std::sqrt(second) + config.epsilon);
        } else {
          m = config.beta1 * m + g;
          values[i] -= rate * m;
        }
      }
    }
    result[info.name] = values;
  }
  return result;
}

}  // namespace

TEST_CASE("roles: every parameter is updated at its own rate, with its own decay") {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    CAPTURE(static_cast<int>(kind));
    ParameterStore store = small_store(DType::f64);
    const OptimizerConfig config = config_of(kind);
    double* gradients = store.gradients().as<double>();
    for (const ParameterInfo& info : store.all()) {
      for (std::int64_t i = 0; i < info.count(); ++i)
        gradients[info.offset + i] = 0.1 * std::sin(1.7 * static_cast<double>(info.offset + i) + 1);
    }
    const auto expected = by_hand(store, config, numbers_of(store.gradients()));
    Optimizer optimizer(config, store);
    for (std::int64_t step = 0; step < 3; ++step) {
      StepState state{.step = step};
      optimizer.prepare(state, 1.0);
      optimizer.update(state);
    }
    for (const ParameterInfo& info : store.all()) {
      CAPTURE(info.name);
      const std::vector<double> found = numbers_of(store.value(info.name));
      for (std::size_t i = 0; i < found.size(); ++i)
        CHECK(found[i] == doctest::Approx(expected.at(info.name)[i]).epsilon(1e-12));
    }
  }
}

TEST_CASE("roles: groups lie next to each other and cover every parameter once") {
  const ParameterStore store = small_store(DType::f32);
  REQUIRE(store.groups().size() == 2);
  CHECK(store.groups()[0].rate_factor == 1);
  CHECK(store.groups()[1].rate_factor == 0.25);
  std::int64_t end = 0;
  for (const ParameterGroup& group : store.groups()) {
    CHECK(group.offset == end);
    CHECK(group.decaying <= group.elements);
    end = group.offset + group.elements;
    for (const ParameterInfo& info : store.all()) {
      if (info.role.rate_factor != group.rate_factor) continue;
      CAPTURE(info.name);
      CHECK(info.offset >= group.offset);
      CHECK(info.offset + info.count() <= end);
      CHECK(info.decays() == (info.offset < group.offset + group.decaying));
    }
  }
  CHECK(end == store.elements());
}

TEST_CASE("roles: the matrices inside a parameter") {
  const ParameterStore store = small_store(DType::f32);
  const auto check = [&](const std::string& name, std::initializer_list<MatrixView> expected) {
    CAPTURE(name);
    const std::int64_t offset = store.info(name).offset;
    const std::vector<MatrixView> found = matrices_of(store.info(name));
    REQUIRE(found.size() == expected.size());
    std::size_t at = 0;
    for (const MatrixView& view : expected) {
      CHECK(found[at].offset - offset == view.offset);
      CHECK(found[at].rows == view.rows);
      CHECK(found[at].columns == view.columns);
      CHECK(found[at].stride == view.stride);
      ++at;
    }
  };
  check("vector", {});
  check("matrix", {{0, 5, 7, 7}});
  check("padded", {{0, 5, 2, 2}});
  check("stack", {{0, 4, 6, 6}, {24, 4, 6, 6}, {48, 4, 6, 6}});
  check("packed", {{0, 4, 4, 10}, {4, 4, 3, 10}, {7, 4, 3, 10}});
  ParameterStore wrong;
  CHECK_THROWS_AS(wrong.declare("v", {4, 10}, kNormal, -1, {.columns = {12, -2}}), std::logic_error);
  CHECK_THROWS_WITH_AS(wrong.declare("w", {4, 10}, kNormal, -1, {.columns = {4, 4}}),
                       "parameter w has columns that are not those of its shape", std::logic_error);
}
