// A valid configuration of a tiny model, in the words of TOML.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/change.h"

namespace isoloss::fuzz {

/// A key such as "model.norm" and its value.
using Setting = std::pair<std::string, std::string>;

/// Settings that fit together, in order of their tables.
inline std::vector<Setting> valid_settings(Choices& choices) {
  std::vector<Setting> settings;
  const auto set = [&](const char* key, std::string_view value) { settings.emplace_back(key, value); };
  const auto maybe = [&](const char* key, std::string_view value) {
    if (choices.flag()) set(key, value);
  };
  const std::size_t heads = std::size_t{1} << choices.below(3), context = 8 + 4 * choices.below(4);
  const std::size_t rows = 1 + choices.below(3);
  set("model.layers", std::to_string(1 + choices.below(3)));
  set("model.heads", std::to_string(heads));
  maybe("model.kv_heads", std::to_string(choices.flag() ? heads : 1));
  set("model.width", std::to_string(heads * (4 + 4 * choices.below(3))));
  set("model.context", std::to_string(context));
  set("model.vocab", std::to_string(1 + choices.below(200)));
  const std::string_view norm = choices.one_of({R"("layernorm")", R"("rmsnorm")", R"("none")"});
  set("model.norm", norm);
  if (norm != R"("none")") maybe("model.norm_position", choices.one_of({R"("pre")", R"("post")"}));
  maybe("model.final_norm", choices.one_of({R"("layernorm")", R"("rmsnorm")", R"("none")"}));
  const std::string_view positions =
      choices.one_of({R"("learned")", R"("rope")", R"("learned+rope")", R"("sinusoidal")", R"("none")"});
  set("model.positions", positions);
  if (positions.find("rope") != positions.npos) maybe("model.rope_theta", choices.one_of({"10000", "1e4", "500.5"}));
  maybe("model.attention", choices.one_of({R"("flash")", R"("naive")"}));
  maybe("model.window", std::to_string(choices.below(context)));
  maybe("model.mlp", choices.one_of({R"("gelu")", R"("gelu_tanh")", R"("relu2")", R"("swiglu")"}));
  maybe("model.mlp_ratio", choices.one_of({"4", "2.5", "1"}));
  maybe("model.bias", choices.one_of({"true", "false"}));
  maybe("model.dropout", choices.one_of({"0", "0.1"}));
  maybe("model.tie_embeddings", choices.one_of({"true", "false"}));
  maybe("model.init_std", choices.one_of({"0.02", "5e-2"}));
  maybe("data.train", choices.one_of({R"("tokens/train_*.bin")", R"(["a.bin", "/b/c.bin"])"}));
  maybe("data.val", R"("../val.bin")");
  maybe("data.sampling", choices.one_of({R"("random")", R"("sequential")"}));
  const std::string_view optimizer = choices.one_of({R"("adamw")", R"("sgd")"});
  set("optimizer.kind", optimizer);
  maybe("optimizer.learning_rate", choices.one_of({"1e-3", "0.01"}));
  if (optimizer != R"("sgd")") maybe("optimizer.beta2", "0.99");
  maybe("optimizer.weight_decay", "0.1");
  maybe("optimizer.clip_norm", choices.one_of({"0", "1.0"}));
  const std::string_view schedule = choices.one_of({R"("cosine")", R"("linear")", R"("constant")", R"("wsd")"});
  set("schedule.kind", schedule);
  maybe("schedule.warmup_steps", "3");
  if (schedule != R"("constant")") maybe("schedule.decay_steps", "8");
  set("run.steps", "12");
  set("run.micro_batch", std::to_string(rows));
  maybe("run.batch_tokens", std::to_string(rows * context * (1 + choices.below(2))));
  maybe("run.seed", choices.one_of({"1", "9007199254740992"}));
  maybe("run.eval_every", "4");
  maybe("run.precision", choices.one_of({R"("fp32")", R"("tf32")", R"("bf16")"}));
  return settings;
}

/// The text of a file, with tables or with dotted keys.
inline std::string toml_of(const std::vector<Setting>& settings, bool tables) {
  std::string text, table;
  for (const auto& [key, value] : settings) {
    const std::size_t dot = key.find('.');
    if (tables && key.substr(0, dot) != table) text += "[" + (table = key.substr(0, dot)) + "]\n";
    text += (tables ? key.substr(dot + 1) : key) + " = " + value + "\n";
  }
  return text;
}

}  // namespace isoloss::fuzz
