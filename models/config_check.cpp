#include "models/config_check.h"

#include <fmt/format.h>

#include <limits>

#include "kernels/base/error.h"

namespace isoloss {

void fill_defaults(Configuration& configuration, const std::set<std::string>& present) {
  ModelSpec& model = configuration.model;
  TrainingConfig& run = configuration.run.run;
  if (!present.contains("model.kv_heads")) model.kv_heads = model.heads;
  if (!present.contains("model.final_norm")) {
    model.final_norm = model.norm_position == NormPosition::pre ? model.norm : Norm::none;
  }
  if (!configuration.explicit_keys.contains("model.window") && model.window >= model.context) model.window = 0;
  if (!present.contains("run.batch_tokens")) run.batch_tokens = run.micro_batch * model.context;
  if (!present.contains("schedule.decay_steps")) configuration.run.schedule.decay_steps = run.steps;
}

namespace {

void check_effects(const Configuration& configuration) {
  const ModelSpec& model = configuration.model;
  const OptimizerKind optimizer = configuration.run.optimizer.kind;
  const ScheduleKind schedule = configuration.run.schedule.kind;
  const auto reject = [&](const char* key, bool without_effect, const std::string& needed) {
    if (without_effect && configuration.explicit_keys.contains(key)) {
      fail_input(key, needed + ", since it has no effect otherwise", "it set all the same");
    }
  };
  reject("model.rope_theta", !model.has_rope(), "model.positions = rope or learned+rope");
  reject("model.rope_theta", model.head_width() == 2,
         "heads wider than 2, whose only pair turns by 1 a position whatever theta is");
  reject("model.norm_position", model.norm == Norm::none, "a model.norm other than none");
  reject("model.window", model.window >= model.context,
         fmt::format("0 or a window shorter than model.context ({})", model.context));
  reject("optimizer.beta2", optimizer == OptimizerKind::sgd, "optimizer.kind = adamw");
  reject("optimizer.epsilon", optimizer == OptimizerKind::sgd, "optimizer.kind = adamw");
  reject("schedule.decay_steps", schedule == ScheduleKind::constant, "a schedule.kind other than constant");
  reject("schedule.final_fraction", schedule == ScheduleKind::constant, "a schedule.kind other than constant");
}

}  // namespace

std::vector<std::string> surprises(const RunConfig& config) {
  const ScheduleConfig& schedule = config.schedule;
  const std::int64_t steps = config.run.steps, warmup = schedule.warmup_steps, decay = schedule.decay_steps;
  if (warmup >= steps) {
    return {
        fmt::format("schedule.warmup_steps ({}) is not below run.steps ({}): the learning rate never gets to its "
                    "full value",
                    warmup, steps)};
  }
  const bool decays_by_step = schedule.kind == ScheduleKind::cosine || schedule.kind == ScheduleKind::linear;
  if (decays_by_step && decay > steps) {
    return {
        fmt::format("schedule.decay_steps ({}) is beyond run.steps ({}): the learning rate ends at {:.2g} of its "
                    "full value, not at schedule.final_fraction ({:.2g})",
                    decay, steps, schedule_factor(schedule, steps - 1, steps), schedule.final_fraction)};
  }
  if (decays_by_step && warmup > 0 && decay <= warmup) {
    return {
        fmt::format("schedule.decay_steps ({}), which counts from step 0, is not beyond schedule.warmup_steps "
                    "({}): the learning rate falls to its end at once",
                    decay, warmup)};
  }
  return {};
}

std::vector<std::string> surprises(const RunConfig& config, std::int64_t context, std::uint64_t train_tokens,
                                   std::uint64_t evaluated) {
  std::vector<std::string> lines;
  const auto wanted = static_cast<std::uint64_t>(config.run.eval_tokens / context * context);
  if (evaluated < wanted) {
    lines.push_back(fmt::format("run.eval_tokens ({}) is beyond the validation data: {} tokens are evaluated",
                                config.run.eval_tokens, evaluated));
  }
  if (static_cast<std::uint64_t>(config.run.batch_tokens) > train_tokens) {
    lines.push_back(
        fmt::format("run.batch_tokens ({}) is more than the training data hold ({}): every step sees them "
                    "several times",
                    config.run.batch_tokens, train_tokens));
  }
  return lines;
}

void check_configuration(const Configuration& configuration) {
  configuration.model.validate();
  check_effects(configuration);
  const TrainingConfig& run = configuration.run.run;
  const std::int64_t context = configuration.model.context;
  constexpr std::int64_t kMostTokens = std::numeric_limits<std::int32_t>::max();
  if (run.micro_batch > kMostTokens / context) {
    fail_input("run.micro_batch",
               fmt::format("at most {} sequences of model.context ({}) tokens", kMostTokens / context, context),
               fmt::format("{}", run.micro_batch));
  }
  if (run.eval_tokens != 0 && run.eval_tokens < context) {
    fail_input("run.eval_tokens", fmt::format("0 (all) or at least one window of model.context ({}) tokens", context),
               fmt::format("{}", run.eval_tokens));
  }
  const std::int64_t micro_tokens = run.micro_batch * context;
  if (run.batch_tokens % micro_tokens != 0) {
    fail_input("run.batch_tokens",
               fmt::format("a multiple of run.micro_batch times model.context ({} * {} = {})", run.micro_batch, context,
                           micro_tokens),
               fmt::format("{}", run.batch_tokens));
  }
  const ScheduleConfig& schedule = configuration.run.schedule;
  if (schedule.kind == ScheduleKind::wsd && schedule.decay_steps > run.steps) {
    fail_input("schedule.decay_steps", fmt::format("at most run.steps ({}) with wsd, which ends there", run.steps),
               fmt::format("{}", schedule.decay_steps));
  }
}

void check_device(const Configuration& configuration, DeviceKind device) {
  if (configuration.model.attention != Attention::cudnn) return;
  if (device != DeviceKind::cuda) {
    fail_input("model.attention", "flash or naive on this device", "cudnn, which needs the cuda device");
  }
  const Precision precision = configuration.run.run.precision;
  if (precision != Precision::bf16) {
    fail_input("run.precision", "bf16 with model.attention = cudnn, which computes in nothing else",
               precision == Precision::tf32 ? "tf32" : "fp32");
  }
  if (find_op("attention_cudnn").launch[static_cast<std::size_t>(device)] == nullptr) {
    fail_input("model.attention", "flash or naive in this build", "cudnn, which it does not have");
  }
}

}  // namespace isoloss
