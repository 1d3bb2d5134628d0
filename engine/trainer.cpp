#include "engine/trainer.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "engine/finiteness.h"
#include "engine/saved_weights.h"
#include "kernels/base/error.h"

namespace isoloss {

Trainer::Trainer(const RunConfig& config, TrainingModel& model, const TokenDataset& train,
                 const EvalWindows& validation, RunRecord& record, const std::optional<Checkpoint>& resume)
    : config_(config),
      model_(model),
      validation_(validation),
      record_(record),
      sampler_(train, config.data.sampling, config.run.seed,
               model.training().tensor(model.training().graph().roles.ids).shape()[1],
               model.rows() * model.micro_batches()),
      steps_(make_step_runner(model)),
      meter_(model.machine()),
      step_flops_(model.step_cost().flops),
      tokens_per_step_(config.run.batch_tokens) {
  for (const Metric& metric : model.training().graph().roles.metrics) {
    if (is_log_key(metric.name)) throw std::logic_error("metric " + metric.name + ": log.jsonl has a key of that name");
  }
  state_.seed = config.run.seed;
  if (!resume) return;
  state_ = resume->state;
  submitted_ = state_.step;
  val_loss_ = record_.last_val_loss();
  load_model(model_.store(), SafetensorsFile(resume->model()));
  load_optimizer(model_.store(), resume->optimizer());
}

void Trainer::submit_step() {
  StepState state;
  state.seed = config_.run.seed;
  state.step = submitted_;
  model_.optimizer().prepare(state, schedule_factor(config_.schedule, submitted_, config_.run.steps));
  steps_->submit(state, [&](int micro, std::int32_t* ids, std::int32_t* targets) {
    sampler_.batch(static_cast<std::uint64_t>(submitted_), micro * model_.rows(), model_.rows(), ids, targets);
  });
  submitted_ += 1;
}

StepReport Trainer::book(const StepResult& result, bool wanted) {
  const TrainingConfig& run = config_.run;
  const std::optional<double> joules = energy();
  const double rate = config_.optimizer.learning_rate * schedule_factor(config_.schedule, state_.step, run.steps);
  grad_norm_ = result.gradient_norm;
  state_.step += 1;
  state_.tokens += tokens_per_step_;
  state_.flops = static_cast<double>(state_.step) * step_flops_;
  state_.seconds += result.seconds;
  // A sum with a gap would be too small without saying so: from a gap on there is none.
  const bool known = state_.step == 1 || state_.joules.has_value();
  state_.joules = known && joules ? std::optional(state_.joules.value_or(0) + *joules) : std::nullopt;
  if (!std::isfinite(result.loss) || !std::isfinite(grad_norm_)) diverged(result.loss, grad_norm_);
  const double speed = static_cast<double>(tokens_per_step_) / result.seconds;
  if (state_.step % run.log_every == 0 || wanted) {
    LogLine line{state_.step, state_.tokens, state_.flops, state_.seconds, result.loss, grad_norm_, rate, speed, {}};
    const std::vector<Metric>& metrics = model_.training().graph().roles.metrics;
    for (std::size_t i = 0; i < metrics.size(); ++i) line.metrics.emplace_back(metrics[i].name, result.metrics[i]);
    record_.append(line);
  }
  return {state_.step, run.steps, result.loss, speed, val_loss_};
}

void Trainer::evaluate_now() {
  const Evaluation evaluation = evaluate(model_.evaluation(), validation_, stop);
  if (stop()) return;  // cut short: not a measurement; a resumed run evaluates this step again
  val_loss_ = evaluation.loss;
  if (!std::isfinite(evaluation.loss)) diverged(evaluation.loss, grad_norm_);
  record_.append(EvalLine{state_.step, state_.tokens, state_.flops, state_.seconds, state_.joules, evaluation.loss,
                          evaluation.blocks});
}

void Trainer::write_checkpoint() {
  // A step's loss is of the weights before it: an update that overflowed shows one step later, when the good checkpoint
  // before this one would be gone. So the weights are tried on a batch, unless they were evaluated just now. A value
  // that this batch does not touch (in the token table) is found by itself.
  double loss = val_loss_.value_or(0);
  if (record_.last_evaluated_step() != state_.step) {
    const auto after_one_batch = [tried = false]() mutable { return std::exchange(tried, true); };
    loss = evaluate(model_.evaluation(), validation_, after_one_batch).loss;
  }
  const bool finite = std::isfinite(loss) && first_not_finite(model_.store(), ParameterStore::Part::values).empty();
  if (!finite) diverged(loss, grad_norm_);
  record_.sync();
  state_.record = record_.mark();
  model_.store().to_host(ParameterStore::Part::values);
  model_.store().to_host(ParameterStore::Part::moments);
  save_checkpoint(record_.folder(), state_, model_tensors(model_.store()), optimizer_tensors(model_.store()),
                  config_.run.keep_checkpoints, origin_of_weights(record_.manifest().tokenizer_sha256));
}

void Trainer::diverged(double loss, double norm) {
  record_.end_diverged();
  const auto unsigned_nan = [](double value) { return std::isnan(value) ? std::abs(value) : value; };  // not "-nan"
  std::string bad = first_not_finite(model_.store(), ParameterStore::Part::gradients);
  if (bad.empty()) bad = first_not_finite(model_.store(), ParameterStore::Part::values);
  fail_run(fmt::format("step {}", state_.step), "a finite loss and gradient",
           fmt::format("loss {:g}, gradient norm {:g}{}{}", unsigned_nan(loss), unsigned_nan(norm),
                       bad.empty() ? "" : "; first bad: ", bad));
}

RunStatus Trainer::run() {
  const TrainingConfig& run = config_.run;
  const std::int64_t first_step = state_.step;
  const auto evaluation_due = [&](std::int64_t step) {
    return step == 0 || step == run.steps || (run.eval_every > 0 && step % run.eval_every == 0);
  };
  // At the start, and after an interruption that cut an evaluation short.
  if (evaluation_due(state_.step) && record_.last_evaluated_step() < state_.step) evaluate_now();
  bool stopped = stop();
  // The first checkpoint is of the start: a run that diverges or is killed before the next has that to go on from.
  if (!stopped && run.checkpoint_every > 0 && state_.step == 0) write_checkpoint();
  while (!stopped && submitted_ < run.steps) {
    if (submitted_ == state_.step) energy();  // nothing is under way: what was used until now was not training
    submit_step();
    stopped = stop();
    const bool last = submitted_ == run.steps, evaluates = evaluation_due(submitted_);
    const bool checkpoints = run.checkpoint_every > 0 && submitted_ % run.checkpoint_every == 0;
    std::optional<StepReport> newest;
    const auto take = [&](bool drain) {
      while (const std::optional<StepResult> result = steps_->next(drain)) {
        if (newest) report(*newest);
        newest = book(*result, (last || stopped) && state_.step + 1 == submitted_);
      }
    };
    take(last || stopped || evaluates || checkpoints);
    if (evaluates && !stopped) evaluate_now();
    if (!stopped && stop()) {
      stopped = true;
      take(/*drain=*/true);
    }
    if (last || stopped || checkpoints) write_checkpoint();
    if (!newest) continue;
    newest->val_loss = val_loss_;
    report(*newest);
  }
  const bool complete = state_.step == run.steps && record_.last_evaluated_step() == state_.step;
  // Nothing was trained: a run that was stopped at once, or one that lacked its weights alone and may hold checkpoints
  // that a kill kept from being removed.
  if (state_.step == first_step) write_checkpoint();
  if (!complete) {
    record_.set_status(RunStatus::interrupted);
    return RunStatus::interrupted;
  }
  model_.store().to_host(ParameterStore::Part::values);
  record_.finish(write_safetensors(record_.folder() / "model.safetensors", model_tensors(model_.store()),
                                   origin_of_weights(record_.manifest().tokenizer_sha256)));
  return RunStatus::finished;
}

}  // namespace isoloss
