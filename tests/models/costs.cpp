// FLOPs of whole training steps against sums by hand. They are an axis of every CEG table, and no other test would
// notice a wrong factor.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "models/config.h"
#include "models/transformer.h"

using namespace isoloss;

namespace {

struct Flops {
  double matmul = 0, all = 0;
};

/// One micro-batch of `rows` sequences, forward and backward: what the headers of the operations say, written down for
/// a transformer.
Flops by_hand(const ModelSpec& s, std::int64_t rows) {
  const double M = static_cast<double>(rows * s.context), C = static_cast<double>(s.width);
  const double H = static_cast<double>(s.heads), K = static_cast<double>(s.kv_heads), D = C / H;
  const double hidden = static_cast<double>(s.hidden()), V = static_cast<double>(s.vocab);
  Flops sum;
  const auto product = [&](double flops) { sum.matmul += flops, sum.all += flops; };
  const auto linear = [&](double in, double out, double activation = 0) {
    product(3 * 2 * M * in * out);  // y, dx, dw
    sum.all += (s.bias ? 2 * M * out : 0) + activation * M * out;
  };
  const bool layernorm = s.norm == Norm::layernorm;
  const auto norm = [&](bool adds) {
    const double forward = (layernorm ? 7 : 4) + (adds ? 1 : 0), dx = layernorm ? 10 : 7, dw = 2;
    sum.all += (forward + dx + dw + (layernorm && s.bias ? 1 : 0)) * M * C;
  };

  double pairs = 0;
  for (std::int64_t q = 0; q < s.context; ++q) {
    pairs += static_cast<double>(rows * s.heads * std::min(q + 1, s.window > 0 ? s.window : s.context));
  }
  const bool sinusoidal = s.positions == Positions::sinusoidal;
  sum.all += (s.has_learned_positions() ? 3 : sinusoidal ? 2 : 1) * M * C;  // forward adds, backward both tables
  const double dropout = s.dropout > 0 ? 2 * M * C : 0;                     // forward and backward of a site
  sum.all += dropout;
  for (std::int64_t layer = 0; layer < s.layers; ++layer) {
    norm(s.norm_position == NormPosition::post || layer > 0);
    linear(C, C + 2 * K * D);
    if (s.has_rope()) sum.all += 2 * 6 * M * (H + K) * D / 2;
    product(pairs * (4 * D + 8 * D));
    sum.all += pairs * (5 + 3);
    linear(C, C);
    norm(true);
    if (s.mlp == Mlp::swiglu) {
      linear(C, hidden), linear(C, hidden);
      sum.all += (5 + 12) * M * hidden;
    } else {
      const double forward_and_backward = s.mlp == Mlp::gelu ? 5 + 10 : s.mlp == Mlp::gelu_tanh ? 9 + 16 : 2 + 3;
      linear(C, hidden, forward_and_backward);
    }
    linear(hidden, C);
    sum.all += 2 * dropout;
  }
  if (s.final_norm != Norm::none) norm(s.norm_position == NormPosition::pre);
  product(3 * 2 * M * C * V);
  sum.all += 7 * M * V;
  return sum;
}

void check_flops(const std::string& preset, const std::vector<std::string>& settings) {
  std::vector<Override> overrides;
  for (const std::string& setting : settings) overrides.push_back({setting});
  const ModelSpec spec = load_configuration(preset, overrides).model;
  ParameterStore store;
  const Cost cost = training_graph(spec, store, 2, 4).cost();
  const Flops expected = by_hand(spec, 2);
  CHECK(cost.matmul_flops == doctest::Approx(expected.matmul).epsilon(1e-14));
  CHECK(cost.flops == doctest::Approx(expected.all).epsilon(1e-14));
}

}  // namespace

TEST_CASE("FLOPs of a training step are what one counts by hand") {
  check_flops("gpt2-124m", {});
  check_flops("paper-compact", {"model.vocab=257"});
  check_flops("nano", {"model.vocab=300", "model.positions=rope", "model.norm=rmsnorm", "model.mlp=swiglu",
                       "model.kv_heads=2", "model.window=17", "model.tie_embeddings=false", "model.bias=false"});
  check_flops("nano", {"model.vocab=300", "model.positions=sinusoidal", "model.norm_position=post", "model.mlp=relu2",
                       "model.kv_heads=1", "model.attention=naive"});
  check_flops("nano", {"model.vocab=64", "model.positions=none", "model.mlp=gelu", "model.mlp_ratio=2.66"});
}

TEST_CASE("GPT-2 has 124,439,808 parameters and takes 797.87 MFLOPs of products a token") {
  const ModelSpec spec = load_configuration("gpt2-124m").model;
  ParameterStore store;
  const Graph graph = training_graph(spec, store, 1, 1);
  CHECK(store.trained() == 124439808);
  CHECK(embedding_parameters(store) == (50257 + 1024) * 768);
  CHECK(active_parameters(store) == 124439808 - 1024 * 768);  // the tied table takes part in the classifier
  // 6 · (12 · 12 · 768² + 768 · 50257) for the matrices, and 12 · 768 for each of the 512.5 keys that a query sees, in
  // each of 12 layers.
  CHECK(graph.cost().matmul_flops / 1024 == 6.0 * (12.0 * 12 * 768 * 768 + 768.0 * 50257) + 12.0 * 12 * 768 * 512.5);

  ModelSpec untied = spec;
  untied.tie_embeddings = false;
  ParameterStore more;
  training_graph(untied, more, 1, 1);
  CHECK(more.trained() == 124439808 + 50257 * 768);
  CHECK(active_parameters(more) == active_parameters(store));  // now the looked-up table takes none
}
