#include <chrono>
#include <utility>

#include "engine/step_runner.h"

namespace isoloss {

namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Every step is done when submit() returns.
class HostSteps : public StepRunner {
 public:
  explicit HostSteps(TrainingModel& model) : model_(model) {}

  void submit(const StepState& step, const BatchSource& batch) override {
    const double start = now_seconds();
    Executor& executor = model_.training();
    const Roles& roles = executor.graph().roles;
    StepState state = step;
    const auto number = [&](ValueId value) { return static_cast<double>(*executor.tensor(value).as<float>()); };
    double loss = 0;
    std::vector<double> metrics(roles.metrics.size(), 0.0);
    for (int micro = 0; micro < model_.micro_batches(); ++micro) {
      state.micro_batch = micro;
      batch(micro, executor.tensor(roles.ids).as<std::int32_t>(), executor.tensor(roles.targets).as<std::int32_t>());
      executor.run(state);
      loss += number(roles.loss);
      for (std::size_t i = 0; i < metrics.size(); ++i) metrics[i] += number(roles.metrics[i].value);
    }
    for (double& metric : metrics) metric /= model_.micro_batches();
    model_.optimizer().update(state);
    const double norm = static_cast<double>(*model_.optimizer().norm().as<float>());
    result_ = {loss / model_.micro_batches(), norm, now_seconds() - start, std::move(metrics)};
  }

  std::optional<StepResult> next(bool) override { return std::exchange(result_, std::nullopt); }

 private:
  TrainingModel& model_;
  std::optional<StepResult> result_;
};

}  // namespace

std::unique_ptr<StepRunner> make_host_steps(TrainingModel& model) { return std::make_unique<HostSteps>(model); }

std::unique_ptr<StepRunner> make_step_runner(TrainingModel& model) {
  return model.machine().on_host() ? make_host_steps(model) : make_cuda_steps(model);
}

}  // namespace isoloss
