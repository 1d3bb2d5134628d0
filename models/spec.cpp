#include "models/spec.h"

#include <fmt/format.h>

#include "kernels/base/error.h"

namespace isoloss {

std::string_view name_of(ModelKind kind) { return kind == ModelKind::lstm ? "lstm" : "transformer"; }

std::string_view name_of(Norm norm) {
  switch (norm) {
    case Norm::layernorm:
      return "layernorm";
    case Norm::rmsnorm:
      return "rmsnorm";
    case Norm::none:
      break;
  }
  return "none";
}

std::string_view name_of(NormPosition position) { return position == NormPosition::post ? "post" : "pre"; }

std::string_view name_of(Positions positions) {
  switch (positions) {
    case Positions::learned:
      return "learned";
    case Positions::rope:
      return "rope";
    case Positions::learned_rope:
      return "learned+rope";
    case Positions::sinusoidal:
      return "sinusoidal";
    case Positions::none:
      break;
  }
  return "none";
}

std::string_view name_of(Attention attention) {
  switch (attention) {
    case Attention::flash:
      return "flash";
    case Attention::naive:
      return "naive";
    case Attention::cudnn:
      break;
  }
  return "cudnn";
}

std::string_view name_of(Mlp mlp) {
  switch (mlp) {
    case Mlp::gelu:
      return "gelu";
    case Mlp::gelu_tanh:
      return "gelu_tanh";
    case Mlp::relu2:
      return "relu2";
    case Mlp::swiglu:
      break;
  }
  return "swiglu";
}

void ModelSpec::validate() const {
  const auto number = [](auto value) { return fmt::format("{}", value); };
  if (kind == ModelKind::lstm) {
    fail_input("model.kind", "transformer, since lstm is not available yet in this version", "lstm");
  }
  if (heads < 1 || width % heads != 0) {
    fail_input("model.width", fmt::format("a multiple of model.heads ({})", heads), number(width));
  }
  if (kv_heads < 1 || heads % kv_heads != 0) {
    fail_input("model.kv_heads", fmt::format("a divisor of model.heads ({})", heads), number(kv_heads));
  }
  if (has_rope() && head_width() % 2 != 0) {
    fail_input("model.width", fmt::format("an even width per head with RoPE, which turns pairs ({} heads)", heads),
               number(width));
  }
  if (positions == Positions::sinusoidal && width % 2 != 0) {
    fail_input("model.width", "an even width with sinusoidal positions, a sine and a cosine per frequency",
               number(width));
  }
  if (attention == Attention::cudnn && head_width() % 8 != 0) {
    fail_input("model.width", fmt::format("a multiple of 8 per head with model.attention = cudnn ({} heads)", heads),
               number(width));
  }
  if (attention == Attention::cudnn && dropout > 0) {
    fail_input("model.dropout", "0 with model.attention = cudnn, whose own generator could not be repeated elsewhere",
               number(dropout));
  }
  if (hidden() < 1) fail_input("model.mlp_ratio", "a hidden layer of at least 1", number(mlp_ratio));
  if (window < 0) fail_input("model.window", "0 (full attention) or a number of tokens", number(window));
}

std::vector<std::string> toggles_in_words(const ModelSpec& spec) {
  std::vector<std::string> words;
  if (spec.norm == Norm::none) {
    words.emplace_back("no norm in the blocks");
  } else {
    words.push_back(fmt::format("{}, {}-norm", name_of(spec.norm), name_of(spec.norm_position)));
  }
  words.push_back(spec.final_norm == Norm::none ? "no final norm" : fmt::format("final {}", name_of(spec.final_norm)));
  words.push_back(spec.positions == Positions::none ? "no positions"
                                                    : fmt::format("{} positions", name_of(spec.positions)));
  if (spec.has_rope()) words.push_back(fmt::format("RoPE theta {}", spec.rope_theta));
  words.push_back(fmt::format("{} attention", name_of(spec.attention)));
  if (spec.kv_heads == spec.heads) {
    words.push_back(fmt::format("multi-head ({})", spec.heads));
  } else if (spec.kv_heads == 1) {
    words.push_back(fmt::format("multi-query ({} heads, 1 key head)", spec.heads));
  } else {
    words.push_back(fmt::format("grouped-query ({} heads, {} key heads)", spec.heads, spec.kv_heads));
  }
  if (spec.window > 0) words.push_back(fmt::format("sliding window of {} tokens", spec.window));
  words.push_back(fmt::format("{} MLP, ratio {}", name_of(spec.mlp), spec.mlp_ratio));
  if (!spec.bias) words.emplace_back("no biases");
  if (spec.dropout > 0) words.push_back(fmt::format("dropout {}", spec.dropout));
  if (spec.logit_softcap > 0) words.push_back(fmt::format("logits capped at {}", spec.logit_softcap));
  words.emplace_back(spec.tie_embeddings ? "tied embeddings" : "untied embeddings");
  return words;
}

}  // namespace isoloss
