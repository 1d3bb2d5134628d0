#include "models/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/base/error.h"

namespace isoloss {

namespace {

// An accessor is a function from a configuration to the field, const or not.
template <class Field>
ConfigKey integer(std::string name, std::int64_t low, std::int64_t high, Field field) {
  const bool open = high == std::numeric_limits<std::int64_t>::max();
  std::string expected =
      open ? fmt::format("an integer of at least {}", low) : fmt::format("an integer from {} to {}", low, high);
  return {std::move(name),
          std::move(expected),
          false,
          false,
          [=](Configuration& configuration, const ConfigValue& value) {
            const auto* number = std::get_if<std::int64_t>(&value);
            if (number == nullptr || *number < low || *number > high) return false;
            auto& target = field(configuration);
            target = static_cast<std::decay_t<decltype(target)>>(*number);
            return true;
          },
          [=](const Configuration& configuration) -> ConfigValue {
            return static_cast<std::int64_t>(field(configuration));
          }};
}

template <class Field>
ConfigKey number(std::string name, std::string expected, bool (*accept)(double), Field field) {
  return {std::move(name),
          std::move(expected),
          false,
          false,
          [=](Configuration& configuration, const ConfigValue& value) {
            double given = 0;
            if (const auto* real = std::get_if<double>(&value)) {
              given = *real;
            } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
              given = static_cast<double>(*whole);
            } else {
              return false;
            }
            if (!std::isfinite(given) || !accept(given)) return false;
            field(configuration) = given;
            return true;
          },
          [=](const Configuration& configuration) -> ConfigValue { return field(configuration); }};
}

template <class Field>
ConfigKey boolean(std::string name, Field field) {
  return {std::move(name),
          "true or false",
          false,
          false,
          [=](Configuration& configuration, const ConfigValue& value) {
            const auto* flag = std::get_if<bool>(&value);
            if (flag != nullptr) field(configuration) = *flag;
            return flag != nullptr;
          },
          [=](const Configuration& configuration) -> ConfigValue { return field(configuration); }};
}

template <class Enum, std::size_t count, class Field>
ConfigKey choice(std::string name, std::array<Enum, count> values, std::string_view (*name_of_value)(Enum),
                 Field field) {
  std::string expected;
  for (std::size_t i = 0; i < count; ++i) {
    expected += fmt::format("{}{}", i == 0 ? "" : i + 1 == count ? " or " : ", ", name_of_value(values[i]));
  }
  return {std::move(name),
          std::move(expected),
          true,
          false,
          [=](Configuration& configuration, const ConfigValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            if (text == nullptr) return false;
            const auto found = std::find_if(values.begin(), values.end(),
                                            [&](Enum candidate) { return name_of_value(candidate) == *text; });
            if (found == values.end()) return false;
            field(configuration) = *found;
            return true;
          },
          [=](const Configuration& configuration) -> ConfigValue {
            return std::string(name_of_value(field(configuration)));
          }};
}

template <class Field>
ConfigKey paths(std::string name, Field field) {
  return {std::move(name),
          "a path or glob, or an array of them",
          true,
          true,
          [=](Configuration& configuration, const ConfigValue& value) {
            std::vector<std::string> list;
            if (const auto* many = std::get_if<std::vector<std::string>>(&value)) {
              list = *many;
            } else if (const auto* one = std::get_if<std::string>(&value)) {
              list = {*one};
            } else {
              return false;
            }
            if (std::any_of(list.begin(), list.end(), [](const std::string& path) { return path.empty(); })) {
              return false;
            }
            field(configuration) = std::move(list);
            return true;
          },
          [=](const Configuration& configuration) -> ConfigValue { return field(configuration); }};
}

std::string_view optimizer_name(OptimizerKind kind) { return kind == OptimizerKind::sgd ? "sgd" : "adamw"; }

std::string_view schedule_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::linear:
      return "linear";
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::wsd:
      break;
  }
  return "wsd";
}

std::string_view precision_name(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      break;
  }
  return "bf16";
}

/// Above 0 in the precision that models compute in, too.
bool is_positive(double value) { return static_cast<float>(value) > 0 && std::isfinite(static_cast<float>(value)); }
bool is_zero_or_positive(double value) { return value == 0 || is_positive(value); }
bool is_not_negative(double value) { return value >= 0; }
bool is_below_one(double value) { return value >= 0 && value < 1; }
bool is_fraction(double value) { return value >= 0 && value <= 1; }

#define ISOLOSS_FIELD(path) \
  [](auto& configuration) -> auto& { return configuration.path; }

std::vector<ConfigKey> make_keys() {
  // Upper limits keep every product of a few of them inside 64 bits.
  constexpr std::int64_t kMostLayers = 10'000;  // ten times the deepest published; planning takes seconds
  constexpr std::int64_t kLarge = 1 << 24, kHuge = std::numeric_limits<std::int32_t>::max();
  constexpr std::int64_t kOpen = std::numeric_limits<std::int64_t>::max();
  constexpr auto kNorms = std::array{Norm::layernorm, Norm::rmsnorm, Norm::none};
  const char* const zero_up = "a number of at least 0";
  const char* const positive = "a number above 0 that float32 can hold";
  const char* const below_one = "a number from 0 up to, not including, 1";
  return {
      choice("model.kind", std::array{ModelKind::transformer, ModelKind::lstm}, name_of, ISOLOSS_FIELD(model.kind)),
      integer("model.layers", 1, kMostLayers, ISOLOSS_FIELD(model.layers)),
      integer("model.heads", 1, 1 << 16, ISOLOSS_FIELD(model.heads)),
      integer("model.kv_heads", 1, 1 << 16, ISOLOSS_FIELD(model.kv_heads)),
      integer("model.width", 1, kLarge, ISOLOSS_FIELD(model.width)),
      integer("model.context", 1, kLarge, ISOLOSS_FIELD(model.context)),
      integer("model.vocab", 0, kHuge - 64, ISOLOSS_FIELD(model.vocab)),
      choice("model.norm", kNorms, name_of, ISOLOSS_FIELD(model.norm)),
      choice("model.norm_position", std::array{NormPosition::pre, NormPosition::post}, name_of,
             ISOLOSS_FIELD(model.norm_position)),
      choice("model.final_norm", kNorms, name_of, ISOLOSS_FIELD(model.final_norm)),
      choice("model.positions",
             std::array{Positions::learned, Positions::rope, Positions::learned_rope, Positions::sinusoidal,
                        Positions::none},
             name_of, ISOLOSS_FIELD(model.positions)),
      number("model.rope_theta", positive, is_positive, ISOLOSS_FIELD(model.rope_theta)),
      choice("model.attention", std::array{Attention::flash, Attention::naive, Attention::cudnn}, name_of,
             ISOLOSS_FIELD(model.attention)),
      integer("model.window", 0, kLarge, ISOLOSS_FIELD(model.window)),
      choice("model.mlp", std::array{Mlp::gelu, Mlp::gelu_tanh, Mlp::relu2, Mlp::swiglu}, name_of,
             ISOLOSS_FIELD(model.mlp)),
      number(
          "model.mlp_ratio", "a number above 0, at most 256", [](double value) { return value > 0 && value <= 256; },
          ISOLOSS_FIELD(model.mlp_ratio)),
      boolean("model.bias", ISOLOSS_FIELD(model.bias)),
      number("model.dropout", below_one, is_below_one, ISOLOSS_FIELD(model.dropout)),
      boolean("model.tie_embeddings", ISOLOSS_FIELD(model.tie_embeddings)),
      number("model.init_std", zero_up, is_not_negative, ISOLOSS_FIELD(model.init_std)),
      number("model.logit_softcap", "0 (off) or a number above 0 that float32 can hold", is_zero_or_positive,
             ISOLOSS_FIELD(model.logit_softcap))
          .since(0.0),

      paths("data.train", ISOLOSS_FIELD(run.data.train)),
      paths("data.val", ISOLOSS_FIELD(run.data.val)),
      choice("data.sampling", std::array{Sampling::random, Sampling::sequential}, sampling_name,
             ISOLOSS_FIELD(run.data.sampling)),

      choice("optimizer.kind", std::array{OptimizerKind::adamw, OptimizerKind::sgd}, optimizer_name,
             ISOLOSS_FIELD(run.optimizer.kind)),
      number("optimizer.learning_rate", zero_up, is_not_negative, ISOLOSS_FIELD(run.optimizer.learning_rate)),
      number("optimizer.beta1", below_one, is_below_one, ISOLOSS_FIELD(run.optimizer.beta1)),
      number("optimizer.beta2", below_one, is_below_one, ISOLOSS_FIELD(run.optimizer.beta2)),
      number("optimizer.epsilon", positive, is_positive, ISOLOSS_FIELD(run.optimizer.epsilon)),
      number("optimizer.weight_decay", zero_up, is_not_negative, ISOLOSS_FIELD(run.optimizer.weight_decay)),
      number("optimizer.clip_norm", "a number of at least 0 (0: no clipping)", is_not_negative,
             ISOLOSS_FIELD(run.optimizer.clip_norm)),

      choice("schedule.kind",
             std::array{ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::constant, ScheduleKind::wsd},
             schedule_name, ISOLOSS_FIELD(run.schedule.kind)),
      integer("schedule.warmup_steps", 0, kHuge, ISOLOSS_FIELD(run.schedule.warmup_steps)),
      integer("schedule.decay_steps", 1, kHuge, ISOLOSS_FIELD(run.schedule.decay_steps)),
      number("schedule.final_fraction", "a number from 0 to 1", is_fraction,
             ISOLOSS_FIELD(run.schedule.final_fraction)),

      integer("run.steps", 1, kHuge, ISOLOSS_FIELD(run.run.steps)),
      integer("run.batch_tokens", 1, kHuge, ISOLOSS_FIELD(run.run.batch_tokens)),
      integer("run.micro_batch", 1, kLarge, ISOLOSS_FIELD(run.run.micro_batch)),
      integer("run.seed", 0, kOpen, ISOLOSS_FIELD(run.run.seed)),
      integer("run.eval_every", 0, kHuge, ISOLOSS_FIELD(run.run.eval_every)),
      integer("run.eval_tokens", 0, kOpen, ISOLOSS_FIELD(run.run.eval_tokens)),
      integer("run.log_every", 1, kHuge, ISOLOSS_FIELD(run.run.log_every)),
      integer("run.checkpoint_every", 0, kHuge, ISOLOSS_FIELD(run.run.checkpoint_every)),
      integer("run.keep_checkpoints", 1, kHuge, ISOLOSS_FIELD(run.run.keep_checkpoints)),
      choice("run.precision", std::array{Precision::fp32, Precision::tf32, Precision::bf16}, precision_name,
             ISOLOSS_FIELD(run.run.precision)),
  };
}

#undef ISOLOSS_FIELD

/// Levenshtein distance, two rows.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string text_of(const ConfigValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *whole);
  if (const auto* real = std::get_if<double>(&value)) {
    const std::string text = fmt::format("{}", *real);
    const bool looks_whole = text.find_first_not_of("-0123456789") == std::string::npos;
    return looks_whole ? text + ".0" : text;  // as in "expected an integer, got 1000.0"
  }
  if (const auto* text = std::get_if<std::string>(&value)) return fmt::format("\"{}\"", *text);
  return "an array";
}

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = make_keys();
  return keys;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr std::size_t kLongest = 64;  // a longer name is no misspelling, and the distance is quadratic
  std::string_view nearest;
  std::size_t best = name.size() > kLongest ? 0 : std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = best == 0 ? 1 : edit_distance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return std::string(nearest);
}

const ConfigKey& find_config_key(std::string_view name, std::string_view where) {
  const std::vector<ConfigKey>& keys = config_keys();
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& key) { return key.name == name; });
  if (found != keys.end()) return *found;
  std::vector<std::string> names;
  for (const ConfigKey& key : keys) {
    // A key without its table is as common a slip as a misspelt one.
    if (key.name.substr(key.name.find('.') + 1) == name) {
      fail_input(where, fmt::format("a known key (did you mean {}?)", key.name), name);
    }
    names.push_back(key.name);
  }
  const std::string nearest = nearest_name(name, names);
  fail_input(where, nearest.empty() ? "a known key" : fmt::format("a known key (did you mean {}?)", nearest), name);
}

}  // namespace isoloss
