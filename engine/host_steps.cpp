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
    StepState state = step;
    double loss = 0;
    for (int micro = 0; micro < model_.micro_batches(); ++micro) {
      state.micro_batch = micro;
      batch(micro, executor.tensor("ids").as<std::int32_t>(), executor.tensor("targets").as<std::int32_t>());
      executor.run(state);
      loss += static_cast<double>(*executor.tensor("lm_head.loss").as<float>());
    }
    model_.optimizer().update(state);
    const double norm = static_cast<double>(*model_.optimizer().norm().as<float>());
    result_ = {loss / model_.micro_batches(), norm, now_seconds() - start};
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
