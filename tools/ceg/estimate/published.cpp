// CEG values that others published: the report prints them beside ours. Data only, and how a variant finds its own.
#include <algorithm>
#include <cctype>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg {
namespace {

constexpr auto kLadder = "arXiv 2505.04075v2";
constexpr auto kOrigin = "arXiv 2511.21622";
constexpr auto kSmall = "single seed, 64 wide";
constexpr auto kEdited = "curve edited by its authors";
constexpr auto kFlash = "in steps; its mathematics is the baseline's, so this is their noise";
constexpr auto kNotSparse = "not sparse in fact";

std::string key(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == '-' || c == '_' || c == ' ') continue;
    result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

}  // namespace

const std::vector<Published>& published_values() {
  static const std::vector<std::string> flash{"flash", "flashattention"};
  static const std::vector<std::string> all{"all",
                                            "combined",
                                            "allcombined",
                                            "flash+rope+layernorm",
                                            "flashattention+rope+layernorm",
                                            "flash+layernorm+rope",
                                            "flashattention+layernorm+rope"};
  static const std::vector<std::string> multi_query{"multiquery", "mqa", "multiqueryattention"};
  static const std::vector<std::string> sparse{"sparse", "sparseattention", "blocksparse"};
  static const std::vector<Published> values{
      {"LayerNorm vs none", {"layernorm"}, "compact", 1.84, {}, kLadder, ""},
      {"LayerNorm vs none", {"layernorm"}, "full", 1.42, {}, kLadder, ""},
      {"RoPE vs learned", {"rope"}, "compact", 1.87, {}, kLadder, ""},
      {"RoPE vs learned", {"rope"}, "full", 1.35, {}, kLadder, kEdited},
      {"FlashAttention", flash, "compact", 1.063, {}, kLadder, kFlash},
      {"FlashAttention", flash, "full", 1.000, {}, kLadder, kFlash},
      {"FlashAttention + RoPE + LayerNorm", all, "compact", 3.483, {}, kLadder, ""},
      {"FlashAttention + RoPE + LayerNorm", all, "full", 1.800, {}, kLadder, ""},
      {"Multi-query attention", multi_query, "compact", {}, 0.673, kLadder, ""},
      {"Multi-query attention", multi_query, "full", 0.931, {}, kLadder, kEdited},
      {"Sparse attention", sparse, "compact", {}, 0.515, kLadder, ""},
      {"Sparse attention", sparse, "full", 0.964, {}, kLadder, kNotSparse},
      {"Pre- vs post-norm", {"prenorm", "prelayernorm"}, "64 wide", 1.87, {}, kOrigin, kSmall},
      {"RMSNorm vs LayerNorm", {"rmsnorm"}, "64 wide", 1.09, {}, kOrigin, kSmall},
      {"RoPE vs learned", {"rope"}, "64 wide", 1.26, {}, kOrigin, kSmall},
      {"SwiGLU vs GELU", {"swiglu"}, "64 wide", 1.17, {}, kOrigin, kSmall},
      {"Cosine vs inverse square root", {"cosine"}, "64 wide", 1.04, {}, kOrigin, kSmall},
  };
  return values;
}

std::vector<Published> published_for(std::string_view variant) {
  std::vector<Published> found;
  const std::string wanted = key(variant);
  for (const Published& value : published_values()) {
    if (std::any_of(value.variants.begin(), value.variants.end(),
                    [&](const std::string& name) { return key(name) == wanted; })) {
      found.push_back(value);
    }
  }
  return found;
}

}  // namespace isoloss::ceg
