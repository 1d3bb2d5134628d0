#include "tools/bench/cases.h"

#include "kernels/activation/activation.h"
#include "kernels/core/error.h"

namespace isoloss::bench {

namespace {

TensorType f32(Shape shape) { return {DType::f32, shape}; }
TensorType i32(Shape shape) { return {DType::i32, shape}; }

// The optimizer's passes are bound by memory: any range well beyond the caches shows their speed.
constexpr std::int64_t kParameters = std::int64_t{8} << 20;
// The unfused loss and the stored scores of naive attention only where they fit comfortably.
constexpr std::int64_t kMaxElements = std::int64_t{64} << 20;

}  // namespace

const std::vector<Shapes>& all_shapes() {
  static const std::vector<Shapes> shapes = {
      {"gpt2-124m", 2, 256, 768, 12, 50257},  // GPT-2 124M
      {"small", 8, 256, 384, 6, 50257},       // the preset micro with GPT-2's vocabulary
      {"micro", 16, 256, 384, 6, 65},         // the preset micro with one id a character
      {"nano", 12, 64, 128, 4, 65},           // the preset nano with one id a character
  };
  return shapes;
}

const Shapes& find_shapes(const std::string& name) {
  std::string names;
  for (const Shapes& shapes : all_shapes()) {
    if (name == shapes.name) return shapes;
    names += (names.empty() ? "" : ", ") + std::string(shapes.name);
  }
  fail_input("--shapes", names, name);
}

std::vector<Case> cases_of(const Shapes& s) {
  const std::int64_t B = s.rows, T = s.context, C = s.width, V = s.padded_vocab(), H = s.heads;
  const auto gelu = static_cast<double>(Activation::gelu), vocab = static_cast<double>(s.vocab);
  const Attributes attention = {
      {"heads", static_cast<double>(H)}, {"kv_heads", static_cast<double>(H)}, {"window", 0}, {"p", 0}, {"node", 1}};
  Attributes rope = attention;
  rope.set("theta", 10000);
  Attributes dropout = attention;
  dropout.set("p", 0.1);
  const Attributes norm = {{"epsilon", 1e-5}};
  const TensorType stream = f32({B, T, C}), vector = f32({C}), hidden = f32({B, T, 4 * C}), qkv = f32({B, T, 3 * C});
  const TensorType parameters = f32({kParameters}), ids = i32({B, T}), one = f32({1});

  std::vector<Case> cases = {
      {"embedding", "", {{"sinusoidal", 0}}, {ids, f32({V, C}), f32({T, C})}},
      {"linear", "qkv", {}, {stream, f32({C, 3 * C}), f32({3 * C})}},
      {"linear", "proj", {}, {stream, f32({C, C}), vector}},
      {"linear", "fc, gelu", {{"activation", gelu}}, {stream, f32({C, 4 * C}), f32({4 * C})}},
      {"linear", "fc_proj", {}, {hidden, f32({4 * C, C}), vector}},
      {"layernorm", "", norm, {stream, vector, vector}},
      {"add_layernorm", "", norm, {stream, stream, vector, vector}},
      {"rmsnorm", "", norm, {stream, vector}},
      {"add_rmsnorm", "", norm, {stream, stream, vector}},
      {"add", "", {}, {stream, stream}},
      {"rope", "", rope, {qkv}},
      {"attention_flash", "", attention, {qkv}},
      {"activation", "gelu", {{"activation", gelu}}, {hidden}},
      {"swiglu", "", {}, {hidden, hidden}},
      {"dropout", "p=0.1", dropout, {stream}},
      {"classifier", "", {{"vocab", vocab}}, {stream, f32({V, C}), ids}},
  };
  if (B * H * T * T <= kMaxElements) cases.push_back({"attention_naive", "", attention, {qkv}});
  if (s.tokens() * V <= kMaxElements) cases.push_back({"cross_entropy", "", {{"vocab", vocab}}, {f32({B, T, V}), ids}});
  cases.push_back({"attention_cached", "last token", attention, {f32({B, 1, 3 * C}), f32({B, T, 2 * C})}});
  cases.push_back({"global_norm", "8M", {{"clip_norm", 1}}, {parameters}});
  const Attributes update = {{"beta1", 0.9},
                             {"beta2", 0.95},
                             {"epsilon", 1e-8},
                             {"weight_decay", 0.1},
                             {"decay_count", static_cast<double>(kParameters)}};
  cases.push_back({"adamw", "8M", update, {parameters, parameters, parameters, parameters, one}});
  cases.push_back({"sgd", "8M", update, {parameters, parameters, parameters, one}});
  return cases;
}

}  // namespace isoloss::bench
