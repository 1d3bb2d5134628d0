// ModelSpec: the toggles. One value of this struct is one architecture; everything else follows from it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss {

enum class ModelKind : std::uint8_t { transformer, lstm };
enum class Norm : std::uint8_t { layernorm, rmsnorm, none };
enum class NormPosition : std::uint8_t { pre, post };
enum class Positions : std::uint8_t { learned, rope, learned_rope, sinusoidal, none };
enum class Attention : std::uint8_t { flash, naive, cudnn };
enum class Mlp : std::uint8_t { gelu, gelu_tanh, relu2, swiglu };

struct ModelSpec {
  ModelKind kind = ModelKind::transformer;
  std::int64_t layers = 2, heads = 2, kv_heads = 2, width = 64, context = 64;
  std::int64_t vocab = 0;  ///< unpadded: ids are in [0, vocab)
  Norm norm = Norm::layernorm;
  NormPosition norm_position = NormPosition::pre;
  Norm final_norm = Norm::layernorm;
  Positions positions = Positions::learned;
  double rope_theta = 10000;
  Attention attention = Attention::flash;
  std::int64_t window = 0;  ///< 0: full causal attention
  Mlp mlp = Mlp::gelu;
  double mlp_ratio = 4;
  bool bias = true;
  double dropout = 0;
  bool tie_embeddings = true;
  double init_std = 0.02;
  double logit_softcap = 0;  ///< 0: off, else logits are c · tanh(logit / c)

  std::int64_t head_width() const { return width / heads; }
  std::int64_t hidden() const { return static_cast<std::int64_t>(mlp_ratio * static_cast<double>(width) + 0.5); }
  /// Rows of the embedding in memory: the vocabulary rounded up to a multiple of 64. The padding takes no part in
  /// anything.
  std::int64_t padded_vocab() const { return (vocab + 63) / 64 * 64; }
  bool has_learned_positions() const { return positions == Positions::learned || positions == Positions::learned_rope; }
  bool has_rope() const { return positions == Positions::rope || positions == Positions::learned_rope; }

  /// Throws Error (exit 2) naming the key where values do not fit together.
  void validate() const;
};

/// Values as the contract writes them: "layernorm", "learned+rope", …
std::string_view name_of(ModelKind kind);
std::string_view name_of(Norm norm);
std::string_view name_of(NormPosition position);
std::string_view name_of(Positions positions);
std::string_view name_of(Attention attention);
std::string_view name_of(Mlp mlp);

/// The active toggles in words, for the manifest: "rmsnorm, pre-norm", "multi-query (8 heads, 1 key head)", …
std::vector<std::string> toggles_in_words(const ModelSpec& spec);

}  // namespace isoloss
