// All pairs of toggle values: each trains a step on cpu with every node checked against the specification.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "engine/checker.h"
#include "engine/training_model.h"
#include "models/transformer.h"

using namespace isoloss;

namespace {

struct Setting {
  const char* name;
  std::function<void(ModelSpec&)> set;
};

const std::vector<std::vector<Setting>>& toggles() {
  static const std::vector<std::vector<Setting>> all{
      {{"layernorm", [](ModelSpec& s) { s.norm = s.final_norm = Norm::layernorm; }},
       {"rmsnorm", [](ModelSpec& s) { s.norm = s.final_norm = Norm::rmsnorm; }},
       {"no norm", [](ModelSpec& s) { s.norm = Norm::none; }}},
      {{"pre", [](ModelSpec& s) { s.norm_position = NormPosition::pre; }},
       {"post", [](ModelSpec& s) { s.norm_position = NormPosition::post, s.final_norm = Norm::none; }}},
      {{"learned", [](ModelSpec& s) { s.positions = Positions::learned; }},
       {"rope", [](ModelSpec& s) { s.positions = Positions::rope; }},
       {"learned+rope", [](ModelSpec& s) { s.positions = Positions::learned_rope; }},
       {"sinusoidal", [](ModelSpec& s) { s.positions = Positions::sinusoidal; }},
       {"no positions", [](ModelSpec& s) { s.positions = Positions::none; }}},
      {{"flash", [](ModelSpec& s) { s.attention = Attention::flash; }},
       {"naive", [](ModelSpec& s) { s.attention = Attention::naive; }},
       {"cudnn", [](ModelSpec& s) { s.attention = Attention::cudnn, s.width = 32; }}},
      {{"multi-head", [](ModelSpec& s) { s.kv_heads = 4; }},
       {"grouped", [](ModelSpec& s) { s.heads = 6, s.kv_heads = 2, s.width = s.width / 4 * 6; }},
       {"multi-query", [](ModelSpec& s) { s.kv_heads = 1; }}},
      {{"full", [](ModelSpec& s) { s.window = 0; }}, {"window", [](ModelSpec& s) { s.window = 3; }}},
      {{"gelu", [](ModelSpec& s) { s.mlp = Mlp::gelu; }},
       {"gelu_tanh", [](ModelSpec& s) { s.mlp = Mlp::gelu_tanh; }},
       {"relu2", [](ModelSpec& s) { s.mlp = Mlp::relu2; }},
       {"swiglu", [](ModelSpec& s) { s.mlp = Mlp::swiglu; }}},
      {{"bias", [](ModelSpec& s) { s.bias = true; }}, {"no bias", [](ModelSpec& s) { s.bias = false; }}},
      {{"no dropout", [](ModelSpec& s) { s.dropout = 0; }}, {"dropout", [](ModelSpec& s) { s.dropout = 0.2; }}},
      {{"tied", [](ModelSpec& s) { s.tie_embeddings = true; }},
       {"untied", [](ModelSpec& s) { s.tie_embeddings = false; }}},
      {{"logits as they come", [](ModelSpec& s) { s.logit_softcap = 0; }},
       {"capped logits", [](ModelSpec& s) { s.logit_softcap = 3; }}},
  };
  return all;
}

void step(const ModelSpec& spec) {
  spec.validate();
  ParameterStore store;
  Graph graph = training_graph(spec, store, 2, 1);
  store.lay_out();
  store.allocate(true);
  store.initialise(9);
  Executor executor(std::move(graph), store, DeviceKind::cpu);
  Checker checker;
  executor.set_observer(&checker);
  for (std::int64_t i = 0; i < 2 * spec.context; ++i) {
    executor.tensor(executor.graph().roles.ids).as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 5 % spec.vocab);
    executor.tensor(executor.graph().roles.targets).as<std::int32_t>()[i] =
        static_cast<std::int32_t>((i * 5 + 5) % spec.vocab);
  }
  CHECK_NOTHROW(executor.run({}));
  const double loss = static_cast<double>(*executor.tensor(executor.graph().roles.loss).as<float>());
  CHECK(loss == doctest::Approx(std::log(static_cast<double>(spec.vocab))).epsilon(0.1));
  // Every parameter is reached by a gradient: a part that is built but not connected would leave zeros.
  for (const ParameterInfo& info : store.all()) {
    CAPTURE(info.name);
    double sum = 0;
    for (std::int64_t i = 0; i < info.count(); ++i)
      sum += std::abs(static_cast<double>(store.gradient(info.name).as<float>()[i]));
    CHECK(sum > 0);
  }
}

}  // namespace

TEST_CASE("all pairs of toggle values train a step that agrees with the specification node by node") {
  int pairs = 0;
  for (std::size_t a = 0; a < toggles().size(); ++a) {
    for (std::size_t b = a + 1; b < toggles().size(); ++b) {
      for (const Setting& first : toggles()[a]) {
        for (const Setting& second : toggles()[b]) {
          CAPTURE(first.name);
          CAPTURE(second.name);
          ModelSpec spec;
          spec.layers = 1, spec.heads = 4, spec.kv_heads = 4, spec.width = 16, spec.context = 7, spec.vocab = 11;
          first.set(spec);
          second.set(spec);
          if (spec.attention == Attention::cudnn && spec.dropout > 0) {
            CHECK_THROWS(spec.validate());  // cuDNN's dropout is not ours
            continue;
          }
          step(spec);
          ++pairs;
        }
      }
    }
  }
  CHECK(pairs > 250);
}
