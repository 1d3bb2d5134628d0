#include "engine/trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "engine/energy.h"
#include "kernels/core/error.h"

namespace isoloss {

namespace {
double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Name of the first tensor of the store with a value that is not finite; "" when all are.
std::string first_bad(const ParameterStore& store, bool gradients) {
  for (const ParameterInfo& info : store.all()) {
    const Tensor tensor = gradients ? store.gradient(info.name) : store.value(info.name);
    const float* values = tensor.as<float>();
    for (std::int64_t i = 0; i < tensor.count(); ++i) {
      if (!std::isfinite(values[i])) {
        return fmt::format("{} {} (element {})", gradients ? "gradient of" : "parameter", info.name, i);
      }
    }
  }
  return "";
}
}  // namespace

Trainer::Trainer(const RunConfig& config, TrainingModel& model, const TokenDataset& train,
                 const EvalWindows& validation, RunRecord& record, const std::optional<Checkpoint>& resume)
    : config_(config),
      model_(model),
      validation_(validation),
      record_(record),
      sampler_(train, config.data.sampling, config.run.seed, model.training().tensor("ids").shape()[1],
               model.rows() * model.micro_batches()),
      step_flops_(model.step_cost().flops),
      tokens_per_step_(config.run.batch_tokens) {
  state_.seed = config.run.seed;
  if (!resume) return;
  state_ = resume->state;
  load_model(model_.store(), resume->model());
  load_optimizer(model_.store(), resume->optimizer());
}

double Trainer::train_step() {
  Executor& executor = model_.training();
  StepState state;
  state.seed = config_.run.seed;
  state.step = state_.step;
  model_.optimizer().prepare(state, schedule_factor(config_.schedule, state_.step, config_.run.steps));
  double loss = 0;
  for (int micro = 0; micro < model_.micro_batches(); ++micro) {
    state.micro_batch = micro;
    sampler_.batch(static_cast<std::uint64_t>(state_.step), micro * model_.rows(), model_.rows(),
                   executor.tensor("ids").as<std::int32_t>(), executor.tensor("targets").as<std::int32_t>());
    executor.run(state);
    loss += static_cast<double>(*executor.tensor("lm_head.loss").as<float>());
  }
  loss /= model_.micro_batches();
  grad_norm_ = model_.optimizer().update(state);
  return loss;
}

void Trainer::evaluate_now() {
  const Evaluation evaluation = evaluate(model_.evaluation(), validation_, stop);
  if (stop()) return;  // cut short: not a measurement; a resumed run evaluates this step again
  val_loss_ = evaluation.loss;
  if (!std::isfinite(evaluation.loss)) diverged(evaluation.loss, grad_norm_);
  if (!state_.best_val_loss || evaluation.loss < *state_.best_val_loss) {
    state_.best_val_loss = evaluation.loss;
    state_.best_step = state_.step;
  }
  record_.append(EvalLine{state_.step, state_.tokens, state_.flops, state_.seconds, state_.joules, evaluation.loss,
                          evaluation.blocks});
}

void Trainer::write_checkpoint() {
  record_.sync();
  save_checkpoint(record_.folder(), state_, model_tensors(model_.store()), optimizer_tensors(model_.store()),
                  config_.run.keep_checkpoints);
}

void Trainer::diverged(double loss, double norm) {
  record_.set_status(RunStatus::diverged);
  std::string bad = first_bad(model_.store(), /*gradients=*/true);
  if (bad.empty()) bad = first_bad(model_.store(), /*gradients=*/false);
  fail_run(fmt::format("step {}", state_.step), "a finite loss and gradient",
           fmt::format("loss {:g}, gradient norm {:g}{}{}", loss, norm, bad.empty() ? "" : "; first bad: ", bad));
}

RunStatus Trainer::run() {
  const TrainingConfig& run = config_.run;
  const std::int64_t first_step = state_.step;
  EnergyMeter meter;
  const auto evaluation_due = [&] {
    return state_.step == 0 || state_.step == run.steps || (run.eval_every > 0 && state_.step % run.eval_every == 0);
  };
  // At the start, and after an interruption that cut an evaluation short.
  if (evaluation_due() && record_.last_evaluated_step() < state_.step) evaluate_now();
  bool stopped = stop();
  while (!stopped && state_.step < run.steps) {
    meter.take();
    const double start = now_seconds();
    const double loss = train_step();
    const double seconds = now_seconds() - start;
    const std::optional<double> joules = meter.take();
    const double rate = config_.optimizer.learning_rate * schedule_factor(config_.schedule, state_.step, run.steps);
    state_.step += 1;
    state_.tokens += tokens_per_step_;
    state_.flops = static_cast<double>(state_.step) * step_flops_;
    state_.seconds += seconds;
    if (joules && (state_.joules || state_.step == 1)) state_.joules = state_.joules.value_or(0) + *joules;
    if (!std::isfinite(loss) || !std::isfinite(grad_norm_)) diverged(loss, grad_norm_);

    stopped = stop();
    const bool last = state_.step == run.steps;
    if (state_.step % run.log_every == 0 || last || stopped) {
      record_.append(LogLine{state_.step, state_.tokens, state_.flops, state_.seconds, loss, grad_norm_, rate,
                             static_cast<double>(tokens_per_step_) / seconds});
    }
    if (evaluation_due() && !stopped) evaluate_now();
    stopped = stopped || stop();
    if (last || stopped || (run.checkpoint_every > 0 && state_.step % run.checkpoint_every == 0)) write_checkpoint();
    report({state_.step, run.steps, loss, static_cast<double>(tokens_per_step_) / seconds, val_loss_});
  }
  const bool complete = state_.step == run.steps && record_.last_evaluated_step() == state_.step;
  if (!complete) {
    if (state_.step == first_step) write_checkpoint();
    record_.set_status(RunStatus::interrupted);
    return RunStatus::interrupted;
  }
  write_safetensors(record_.folder() / "model.safetensors", model_tensors(model_.store()));
  record_.set_status(RunStatus::finished);
  return RunStatus::finished;
}

}  // namespace isoloss
