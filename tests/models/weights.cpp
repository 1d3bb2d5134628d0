// How parameters start, and how they come from files: this program's own and those of others.
#include "models/weights.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "engine/finiteness.h"
#include "models/transformer.h"
#include "tests/harness/files.h"
#include "tests/harness/tiny_run.h"

using namespace isoloss;
using test::error_of, test::TemporaryFolder, test::tiny_spec;

namespace {

ParameterStore store_of(const ModelSpec& spec, std::uint64_t seed) {
  ParameterStore store;
  evaluation_graph(spec, store, 1);
  store.lay_out();
  store.allocate(false);
  store.initialise(seed);
  return store;
}

std::vector<float> values_of(const ParameterStore& store, const std::string& name) {
  const Tensor tensor = store.value(name);
  return {tensor.as<float>(), tensor.as<float>() + tensor.count()};
}

/// Copies of the tensors of a store, which a test may change before it writes them.
struct Weights {
  explicit Weights(const ParameterStore& store) {
    for (const NamedTensor& tensor : model_tensors(store)) {
      const auto* from = static_cast<const float*>(tensor.data);
      put(tensor.name, tensor.shape, {from, from + store.info(tensor.name).used()});
    }
  }
  void put(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& content) {
    tensors[name] = {shape, content};
  }
  void write(const std::filesystem::path& path, const std::string& without_prefix = "") const {
    std::vector<NamedTensor> named;
    for (const auto& [name, tensor] : tensors) {
      const std::string stored = name.starts_with(without_prefix) ? name.substr(without_prefix.size()) : name;
      named.push_back({stored, DType::f32, tensor.first, tensor.second.data()});
    }
    write_safetensors(path, named);
  }
  std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<float>>> tensors;
};

}  // namespace

TEST_CASE("matrices start normal with init_std, those that end a residual branch narrower, vectors at 0 or 1") {
  ModelSpec spec = tiny_spec();
  spec.layers = 8, spec.tie_embeddings = false, spec.init_std = 0.5;
  const ParameterStore store = store_of(spec, 3);
  for (const ParameterInfo& info : store.all()) {
    CAPTURE(info.name);
    const std::vector<float> values = values_of(store, info.name);
    const bool residual = info.name.ends_with("c_proj.weight");
    const double expected = residual ? 0.5 / std::sqrt(2.0 * 8) : 0.5;
    if (info.shape.rank() == 1) {
      const float start = info.name.ends_with("weight") ? 1.0f : 0.0f;
      CHECK(std::count(values.begin(), values.end(), start) == info.count());
      continue;
    }
    double sum = 0, squares = 0, neighbours = 0;
    const std::int64_t used = info.used();
    for (std::int64_t i = 0; i < used; ++i) {
      const double value = static_cast<double>(values[static_cast<std::size_t>(i)]);
      sum += value, squares += value * value;
      if (i % 2 == 1) neighbours += value * static_cast<double>(values[static_cast<std::size_t>(i - 1)]);
    }
    // Five standard errors of the mean, of the variance and of the correlation of the two halves of a draw.
    const double n = static_cast<double>(used), error = 5 / std::sqrt(n);
    CHECK(std::abs(sum / n) < expected * error);
    CHECK(std::abs(squares / n - expected * expected) < expected * expected * std::sqrt(2.0) * error);
    CHECK(std::abs(neighbours / (n / 2)) < expected * expected * std::sqrt(2.0) * error);
    CHECK(std::count(values.begin() + used, values.end(), 0.0f) == info.count() - used);  // padding
  }
}

TEST_CASE("a parameter's start is a function of the whole seed and of its name alone") {
  const std::string name = "transformer.h.0.attn.c_attn.weight", other = "transformer.h.1.attn.c_attn.weight";
  const ModelSpec spec = tiny_spec();
  ModelSpec variant = spec;
  variant.mlp = Mlp::swiglu, variant.positions = Positions::rope, variant.norm = Norm::rmsnorm;
  const std::uint64_t seed = 5, large = seed + (std::uint64_t{1} << 32);
  const ParameterStore store = store_of(spec, seed);
  CHECK(values_of(store, name) == values_of(store_of(variant, seed), name));
  CHECK(values_of(store, name) != values_of(store, other));
  CHECK(values_of(store, name) != values_of(store_of(spec, seed + 1), name));
  CHECK(values_of(store, name) != values_of(store_of(spec, large), name));
}

TEST_CASE("weights load from this program's files and from others' with their names, masks and doubles") {
  const TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  const ParameterStore source = store_of(spec, 1);
  const auto check_loads = [&](const Weights& weights, const std::string& without_prefix = "") {
    weights.write(folder / "w", without_prefix);
    ParameterStore store = store_of(spec, 2);
    load_weights(store, folder / "w");
    for (const ParameterInfo& info : store.all()) {
      CAPTURE(info.name);
      CHECK(values_of(store, info.name) == values_of(source, info.name));
    }
  };
  Weights weights(source);
  check_loads(weights);
  check_loads(weights, "transformer.");
  weights.put("transformer.h.0.attn.bias", {1, 1, 2, 2}, {1, 0, 1, 1});
  weights.put("transformer.h.1.attn.masked_bias", {1}, {-1e4f});
  weights.put("lm_head.weight", weights.tensors["transformer.wte.weight"].first,
              weights.tensors["transformer.wte.weight"].second);
  check_loads(weights);
  check_loads(weights, "transformer.");
}

TEST_CASE("weights that are not all of this model's, or more, are one line that names the tensor") {
  const TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  const Weights whole(store_of(spec, 1));
  const auto error = [&](const Weights& weights) {
    weights.write(folder / "w");
    ParameterStore store = store_of(spec, 2);
    return error_of([&] { load_weights(store, folder / "w"); });
  };
  const std::string file = (folder / "w").string();
  Weights weights = whole;
  weights.tensors.erase("transformer.ln_f.bias");
  CHECK(error(weights) == "2 [" + file + " transformer.ln_f.bias] expected a tensor of this name, got none");
  weights = whole;
  weights.put("transformer.ln_f.bias", {31}, std::vector<float>(31));
  CHECK(error(weights) == "2 [" + file + " transformer.ln_f.bias] expected the shape [32], got [31]");
  weights = whole;
  weights.put("transformer.h.2.ln_1.weight", {32}, std::vector<float>(32));
  CHECK(error(weights) ==
        "2 [" + file + "] expected only tensors that the configured model has, got transformer.h.2.ln_1.weight");
  // Of an untied model: half of it would be lost without a word.
  weights = whole;
  auto classifier = weights.tensors["transformer.wte.weight"];
  classifier.second.back() += 1;
  weights.tensors["lm_head.weight"] = classifier;
  CHECK(error(weights) ==
        "2 [" + file +
            " lm_head.weight] expected the values of transformer.wte.weight, since model.tie_embeddings = true, got "
            "others");
  weights.put("lm_head.weight", {49, 32}, std::vector<float>(49 * 32));
  CHECK(error(weights) == "2 [" + file + " lm_head.weight] expected the shape [50, 32], got [49, 32]");
}

TEST_CASE("weights of a checkpoint with a tensor that the model lacks are another model's") {
  const TemporaryFolder folder;
  Weights weights(store_of(tiny_spec(), 1));
  weights.put("transformer.h.2.ln_1.weight", {32}, std::vector<float>(32));
  weights.write(folder / "w");
  ParameterStore store = store_of(tiny_spec(), 2);
  CHECK(error_of([&] { load_model(store, SafetensorsFile(folder / "w")); }) ==
        "2 [" + (folder / "w").string() +
            "] expected only tensors that the configured model has, got transformer.h.2.ln_1.weight");
}

TEST_CASE("a value that is not finite is found wherever it stands, and named with its place") {
  const ParameterStore store = store_of(tiny_spec(), 1);
  CHECK(first_not_finite(store, ParameterStore::Part::values).empty());
  for (const ParameterInfo& info : store.all()) {
    float* const values = store.host_value(info.name).as<float>();
    for (const std::int64_t i : {std::int64_t{0}, info.count() / 2, info.count() - 1}) {
      const float before = std::exchange(values[i], std::numeric_limits<float>::infinity());
      CHECK(first_not_finite(store, ParameterStore::Part::values) ==
            "parameter " + info.name + " (element " + std::to_string(i) + ")");
      values[i] = before;
    }
  }
}
