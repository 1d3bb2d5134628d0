// Golden values: loss and every gradient against PyTorch for each toggle, and a 20-step AdamW trajectory
// (tests/golden/make_golden.py says how they were made; everything there is float64).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "engine/optimizer.h"
#include "engine/safetensors.h"
#include "engine/training_model.h"
#include "kernels/base/philox.h"
#include "models/config_keys.h"
#include "models/transformer.h"

using namespace isoloss;

namespace {

constexpr std::int64_t kRows = 3;
constexpr std::uint64_t kSeed = 7;

struct GoldenCase {
  std::filesystem::path file;
  ModelSpec spec;
};

ConfigValue value_of(const ConfigKey& key, const std::string& text) {
  if (key.is_text) return text;
  if (text == "true" || text == "false") return text == "true";
  if (text.find('.') != std::string::npos) return std::stod(text);
  return static_cast<std::int64_t>(std::stoll(text));
}

/// "model.key=value …".
ModelSpec parse_spec(const std::string& line) {
  std::istringstream in(line);
  Configuration configuration;
  for (std::string word; in >> word;) {
    const auto equals = word.find('=');
    const ConfigKey& key = find_config_key(word.substr(0, equals), "golden");
    REQUIRE(key.set(configuration, value_of(key, word.substr(equals + 1))));
  }
  configuration.model.validate();
  return configuration.model;
}

/// A file a case; its metadata say which model it is of.
std::vector<GoldenCase> golden_cases() {
  std::vector<GoldenCase> cases;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden/toggles")) {
    cases.push_back({entry.path(), parse_spec(SafetensorsFile(entry.path()).metadata().at("model"))});
  }
  REQUIRE(cases.size() >= 26);
  return cases;
}

/// weight() of make_golden.py.
template <class T>
void fill_weights(ParameterStore& store) {
  for (const ParameterInfo& info : store.all()) {
    const double phase = static_cast<double>(hash_name(info.name) % 1000) / 100.0;
    const bool norm = info.name.find(".ln_") != std::string::npos && info.name.ends_with("weight");
    const double offset = norm ? 1.0 : 0.0, scale = norm ? 0.3 : info.shape.rank() == 1 ? 0.1 : 0.35;
    T* out = store.value(info.name).as<T>();
    for (std::int64_t i = 0; i < info.used(); ++i) {
      out[i] = static_cast<T>(offset + scale * std::sin(1.3 * static_cast<double>(i) + phase));
    }
  }
}

/// Moves every weight by about `nudge` roundings of a float, every other one the other way: what that changes in a
/// result is how finely float can tell it at all.
template <class T>
void nudge_weights(ParameterStore& store, int nudge) {
  for (std::int64_t i = 0; i < store.elements(); ++i) {
    store.values().as<T>()[i] *= static_cast<T>(1 + 6e-8 * nudge * (i % 2 == 0 ? 1 : -1));
  }
}

void fill_tokens(Executor& executor, std::int64_t step, const ModelSpec& spec) {
  const auto id = [&](std::int64_t b, std::int64_t t) {
    return static_cast<std::int32_t>((7 * step + 5 * b + 3 * t * t + t) % spec.vocab);
  };
  for (std::int64_t b = 0; b < kRows; ++b) {
    for (std::int64_t t = 0; t < spec.context; ++t) {
      executor.tensor(executor.graph().roles.ids).as<std::int32_t>()[b * spec.context + t] = id(b, t);
      executor.tensor(executor.graph().roles.targets).as<std::int32_t>()[b * spec.context + t] = id(b, t + 1);
    }
  }
}

std::vector<double> stored(const SafetensorsFile& file, const std::string& name) {
  const StoredTensor* tensor = file.find(name);
  REQUIRE_MESSAGE(tensor != nullptr, name);
  std::vector<double> values(static_cast<std::size_t>(tensor->count()));
  read_values(*tensor, std::span<double>(values), name);
  return values;
}

/// Largest |got - wanted| over the largest |wanted|; infinity when one is NaN.
template <class T>
double relative_error(const T* got, const std::vector<double>& wanted) {
  double largest = 1e-30, worst = 0;
  for (const double value : wanted) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - wanted[i]);
    if (!(error <= worst)) worst = std::isnan(error) ? HUGE_VAL : error;
  }
  return worst / largest;
}

/// The relative error of the loss and of each gradient of a case, by name. Also checks what has no tolerance: that the
/// model has exactly PyTorch's parameters, and that padding rows have no gradient.
template <class T>
std::map<std::string, double> errors_of(const GoldenCase& golden, DeviceKind device, int nudge = 0) {
  const SafetensorsFile file(golden.file);
  ParameterStore store(dtype_of<T>);
  Graph graph = training_graph(golden.spec, store, kRows, 1, dtype_of<T>);
  store.lay_out();
  store.allocate(true);
  fill_weights<T>(store);
  nudge_weights<T>(store, nudge);
  Executor executor(std::move(graph), store, device);
  fill_tokens(executor, 0, golden.spec);
  StepState state;
  state.seed = kSeed;
  executor.run(state);
  std::map<std::string, double> errors;
  errors["loss"] = relative_error(executor.tensor(executor.graph().roles.loss).as<T>(), stored(file, "loss"));
  for (const ParameterInfo& info : store.all()) {
    const T* gradient = store.gradient(info.name).template as<T>();
    errors[info.name] = relative_error(gradient, stored(file, info.name));
    CHECK(std::all_of(gradient + info.used(), gradient + info.count(), [](T value) { return value == 0; }));
  }
  CHECK(file.tensors().size() == errors.size());
  return errors;
}

}  // namespace

// Both sides compute in double; what differs is the order of sums, some 1e-15 of each term, over a few hundred terms.
TEST_CASE("ref in double: loss and every gradient equal PyTorch's for each toggle") {
  for (const GoldenCase& golden : golden_cases()) {
    CAPTURE(golden.file);
    for (const auto& error : errors_of<double>(golden, DeviceKind::ref)) {
      CAPTURE(error.first);
      CHECK(error.second < 1e-11);
    }
  }
}

// The policy: cpu may err by a small multiple of what the plain loops err by in the same precision. Which tensor of
// which case suffers most is chance and changes with the compiler's choice of fused multiply-adds, so the plain error
// is the worst of all, from weights as they are and one rounding to either side, and the multiple is 2. A wrong term
// would show as 1e-2 and more: 1e-3 bounds the plain error itself.
TEST_CASE("cpu in float: loss and every gradient as near to PyTorch's as plain loops in float come") {
  double plain = 0;
  for (const GoldenCase& golden : golden_cases()) {
    for (const int nudge : {-1, 0, 1}) {
      for (const auto& [name, error] : errors_of<float>(golden, DeviceKind::ref, nudge)) {
        if (!(error <= plain)) plain = error;
      }
    }
  }
  CHECK(plain < 1e-3);
  for (const GoldenCase& golden : golden_cases()) {
    CAPTURE(golden.file);
    for (const auto& error : errors_of<float>(golden, DeviceKind::cpu)) {
      CAPTURE(error.first);
      CHECK(error.second < 2 * plain);
    }
  }
}

TEST_CASE("20 steps of AdamW with warm-up, cosine, clipping and decay follow PyTorch") {
  std::ifstream text("tests/golden/trajectory.txt");
  std::string line;
  std::getline(text, line);
  const ModelSpec spec = parse_spec(line);
  const SafetensorsFile file("tests/golden/trajectory.safetensors");
  const std::vector<double> losses = stored(file, "losses"), norms = stored(file, "norms");
  OptimizerConfig optimizer_config;
  optimizer_config.learning_rate = 4e-3;
  optimizer_config.clip_norm = 0.5;
  ScheduleConfig schedule;
  schedule.warmup_steps = 4;
  const auto steps = static_cast<std::int64_t>(losses.size());
  REQUIRE(steps == 20);

  struct Errors {
    double loss = 0, norm = 0, final = 0;
  };
  const auto worse = [](double& worst, double error) {
    if (!(error <= worst)) worst = error;
  };
  // `nudge` moves every weight by that many float roundings, up or down.
  const auto follow = [&]<class T>(T, DeviceKind device, int nudge = 0) {
    ParameterStore store(dtype_of<T>);
    Graph graph = training_graph(spec, store, kRows, 1, dtype_of<T>);
    store.lay_out();
    store.allocate(true, device);
    fill_weights<T>(store);
    nudge_weights<T>(store, nudge);
    Executor executor(std::move(graph), store, device);
    Optimizer optimizer(optimizer_config, store);
    Errors errors;
    for (std::int64_t step = 0; step < steps; ++step) {
      fill_tokens(executor, step, spec);
      StepState state;
      state.seed = kSeed;
      state.step = step;
      optimizer.prepare(state, schedule_factor(schedule, step, steps));
      executor.run(state);
      const auto at = static_cast<std::size_t>(step);
      worse(errors.loss, relative_error(executor.tensor(executor.graph().roles.loss).as<T>(), {losses[at]}));
      optimizer.update(state);
      worse(errors.norm, relative_error(optimizer.norm().as<T>(), {norms[at]}));
    }
    for (const ParameterInfo& info : store.all()) {
      worse(errors.final, relative_error(store.value(info.name).template as<T>(), stored(file, "final/" + info.name)));
    }
    return errors;
  };
  // In double only rounding separates the two trajectories, which twenty Adam steps amplify by some 1e4.
  const Errors exact = follow(double{}, DeviceKind::ref);
  CHECK(exact.loss < 1e-10);
  CHECK(exact.norm < 1e-9);
  CHECK(exact.final < 1e-9);
  // In float the amplification starts from 6e-8 and its end is chance: what plain loops show from five starts that
  // differ by one or two roundings is the measure, and cpu may be off by 4 times that. A wrong update would be off by
  // the update itself, 0.1 and more.
  Errors plain;
  for (const int nudge : {-2, -1, 0, 1, 2}) {
    const Errors one = follow(float{}, DeviceKind::ref, nudge);
    worse(plain.loss, one.loss), worse(plain.norm, one.norm), worse(plain.final, one.final);
  }
  const Errors fast = follow(float{}, DeviceKind::cpu);
  CHECK(plain.final < 1e-2);
  CHECK(fast.loss < 4 * plain.loss);
  CHECK(fast.norm < 4 * plain.norm);
  CHECK(fast.final < 4 * plain.final);
}
