#include "models/config_check.h"

#include <fmt/format.h>

#include <limits>

#include "kernels/core/error.h"

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
