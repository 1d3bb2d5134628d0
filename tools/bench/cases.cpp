#include "tools/bench/cases.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/ops/activation/activation.h"

namespace isoloss::bench {

namespace {

constexpr const char* kAttention = "attention";

// Any range of parameters well beyond the caches shows the speed of a pass that memory bounds.
constexpr std::int64_t kHostParameters = std::int64_t{8} << 20, kDeviceParameters = std::int64_t{32} << 20;
// Stored scores and logits of more elements are left out.
constexpr std::int64_t kHostElements = std::int64_t{64} << 20, kDeviceElements = std::int64_t{1} << 30;

/// A model, with what each kind of device takes of it at a time.
struct ModelShapes {
  const char* name;
  std::int64_t width, heads, vocab;
  struct Load {
    std::int64_t rows, context, parameters;
  } host, device;
};

constexpr ModelShapes kModels[] = {
    {"gpt2-124m", 768, 12, 50257, {2, 256, kHostParameters}, {16, 1024, kDeviceParameters}},
    {"gpt2-350m", 1024, 16, 50257, {2, 256, kHostParameters}, {8, 1024, kDeviceParameters}},
    // The preset micro with GPT-2's vocabulary and with one id a character, the preset nano likewise.
    {"small", 384, 6, 50257, {8, 256, kHostParameters}, {8, 256, kDeviceParameters}},
    {"micro", 384, 6, 65, {16, 256, kHostParameters}, {16, 256, kDeviceParameters}},
    {"nano", 128, 4, 65, {12, 64, kHostParameters}, {12, 64, kDeviceParameters}},
    // To see that everything runs: a device that is emulated takes seconds for it.
    {"tiny", 64, 2, 50, {2, 16, 4096}, {2, 16, 4096}},
};

[[noreturn]] void fail_shapes(const std::vector<std::string>& names, const std::string& got) {
  fail_input("--shapes", fmt::format("{}", fmt::join(names, ", ")), got);
}

Attributes attention_attributes(std::int64_t heads) {
  return {{"heads", static_cast<double>(heads)},
          {"kv_heads", static_cast<double>(heads)},
          {"window", 0},
          {"p", 0},
          {"node", 1}};
}

/// The passes over parameters, which work in float32; with bf16 the updates also write the rounded copy.
void add_optimizer(const Shapes& s, DType real, std::vector<Case>& cases) {
  const TensorType parameters{DType::f32, {s.parameters}}, one{DType::f32, {1}};
  const std::int64_t mebi = s.parameters >> 20;
  const std::string size = mebi > 0 ? fmt::format("{}M", mebi) : std::to_string(s.parameters);
  Attributes update = {{"beta1", 0.9}, {"weight_decay", 0.1}, {"decay_count", static_cast<double>(s.parameters)}};
  if (real == DType::bf16) update.set("working", 1);
  Attributes adamw = update;
  adamw.set("beta2", 0.95);
  adamw.set("epsilon", 1e-8);
  cases.push_back({"global_norm", size, {{"clip_norm", 1}}, {parameters}});
  cases.push_back({"adamw", size, adamw, {parameters, parameters, parameters, parameters, one}});
  cases.push_back({"sgd", size, update, {parameters, parameters, parameters, one}});
  if (real == DType::bf16) cases.push_back({"cast", size, {}, {parameters}});
}

}  // namespace

std::vector<std::string> model_shapes() {
  std::vector<std::string> names;
  for (const ModelShapes& model : kModels) names.emplace_back(model.name);
  return names;
}

std::vector<std::string> case_shapes() {
  std::vector<std::string> names = model_shapes();
  names.emplace_back(kAttention);
  return names;
}

Shapes find_shapes(const std::string& name, DeviceKind device) {
  const auto model =
      std::find_if(std::begin(kModels), std::end(kModels), [&](const auto& m) { return name == m.name; });
  if (model == std::end(kModels)) fail_shapes(model_shapes(), name);
  const bool on_gpu = device == DeviceKind::cuda;
  const ModelShapes::Load& load = on_gpu ? model->device : model->host;
  return {.name = model->name,
          .rows = load.rows,
          .context = load.context,
          .width = model->width,
          .heads = model->heads,
          .vocab = model->vocab,
          .parameters = load.parameters,
          .most_elements = on_gpu ? kDeviceElements : kHostElements};
}

std::vector<Case> cases_of(const Shapes& s, DType real) {
  const std::int64_t B = s.rows, T = s.context, C = s.width, V = s.padded_vocab(), H = s.heads;
  const auto tensor = [&](Shape shape) { return TensorType{real, shape}; };
  const auto gelu = static_cast<double>(Activation::gelu), gelu_tanh = static_cast<double>(Activation::gelu_tanh);
  const auto vocab = static_cast<double>(s.vocab);
  const Attributes attention = attention_attributes(H);
  const auto heads = static_cast<double>(H);
  const Attributes rope = {{"heads", heads}, {"kv_heads", heads}, {"theta", 10000}};
  const Attributes dropout = {{"p", 0.1}, {"node", 1}};
  const Attributes cached = {{"heads", heads}, {"kv_heads", heads}, {"window", 0}};
  const Attributes norm = {{"epsilon", 1e-5}};
  const TensorType stream = tensor({B, T, C}), vector = tensor({C}), hidden = tensor({B, T, 4 * C});
  const TensorType qkv = tensor({B, T, 3 * C}), ids{DType::i32, {B, T}};

  std::vector<Case> cases = {
      {"embedding", "", {{"sinusoidal", 0}}, {ids, tensor({V, C}), tensor({T, C})}},
      {"linear", "qkv", {}, {stream, tensor({C, 3 * C}), tensor({3 * C})}},
      {"linear", "proj", {}, {stream, tensor({C, C}), vector}},
      {"linear", "fc, gelu", {{"activation", gelu}}, {stream, tensor({C, 4 * C}), tensor({4 * C})}},
      {"linear", "fc, gelu_tanh", {{"activation", gelu_tanh}}, {stream, tensor({C, 4 * C}), tensor({4 * C})}},
      {"linear", "fc_proj", {}, {hidden, tensor({4 * C, C}), vector}},
      {"layernorm", "", norm, {stream, vector, vector}},
      {"add_layernorm", "", norm, {stream, stream, vector, vector}},
      {"rmsnorm", "", norm, {stream, vector}},
      {"add_rmsnorm", "", norm, {stream, stream, vector}},
      {"add", "", {}, {stream, stream}},
      {"fill", "a loss", {{"value", 1}}, {tensor({1})}},
      {"rope", "", rope, {qkv}},
      {"attention_flash", "", attention, {qkv}},
      {"attention_cudnn", "", attention, {qkv}},
      {"activation", "gelu", {{"activation", gelu}}, {hidden}},
      {"swiglu", "", {}, {hidden, hidden}},
      {"dropout", "p=0.1", dropout, {stream}},
      {"classifier", "", {{"vocab", vocab}}, {stream, tensor({V, C}), ids}},
      {"classifier", "capped", {{"vocab", vocab}, {"softcap", 30}}, {stream, tensor({V, C}), ids}},
  };
  if (B * H * T * T <= s.most_elements) cases.push_back({"attention_naive", "", attention, {qkv}});
  if (s.tokens() * V <= s.most_elements) {
    cases.push_back({"cross_entropy", "", {{"vocab", vocab}}, {tensor({B, T, V}), ids}});
    cases.push_back({"softcap", "logits", {{"cap", 30}}, {tensor({B, T, V})}});
  }
  cases.push_back({"attention_cached", "last token", cached, {tensor({B, 1, 3 * C}), tensor({B, T, 2 * C})}});
  const Attributes gating = {{"top_k", 2}, {"sigmoid", 0}, {"normalise", 1}};
  cases.push_back({"gating", "2 of 64", gating, {tensor({s.tokens(), 64})}});
  add_optimizer(s, real, cases);
  return cases;
}

std::vector<Case> attention_cases(std::int64_t tokens, std::int64_t width, DType real) {
  std::vector<Case> cases;
  for (const std::int64_t head : {64, 128}) {
    for (const std::int64_t context : {1024, 2048, 4096, 8192}) {
      const TensorType qkv{real, {std::max<std::int64_t>(1, tokens / context), context, 3 * width}};
      const std::string what = fmt::format("T={}, D={}", context, head);
      for (const char* op : {"attention_flash", "attention_cudnn"}) {
        cases.push_back({op, what, attention_attributes(width / head), {qkv}});
      }
    }
  }
  return cases;
}

std::vector<Case> cases_named(const std::string& name, DeviceKind device, DType real) {
  if (name == kAttention) {
    return device == DeviceKind::cuda ? attention_cases(16384, 2048, real) : attention_cases(1, 256, real);
  }
  const auto names = case_shapes();
  if (std::find(names.begin(), names.end(), name) == names.end()) fail_shapes(names, name);
  return cases_of(find_shapes(name, device), real);
}

}  // namespace isoloss::bench
