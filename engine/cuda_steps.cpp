// Training steps on a CUDA device. The whole optimizer step (all micro-batches, clipping, update) is captured once and
// replayed. While the device works on a step, the host draws the next batch and copies it through pinned memory on a
// second stream; loss and gradient norm come back a step late, so that the device never waits for the host.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "engine/step_runner.h"
#include "kernels/base/error.h"

namespace isoloss {

namespace {

/// An event that is destroyed with its owner.
class Event {
 public:
  Event(CudaDevice& device, bool timing) : device_(device), event_(device.create_event(timing)) {}
  ~Event() { device_.destroy_event(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  CudaDevice::Event get() const { return event_; }

 private:
  CudaDevice& device_;
  CudaDevice::Event event_;
};

/// What one step takes with it and brings back, in pinned host memory.
struct Slot {
  Slot(CudaDevice& on, std::size_t in_bytes, std::size_t out_bytes)
      : device(on),
        in(static_cast<std::byte*>(on.allocate_pinned(in_bytes))),
        out(static_cast<float*>(on.allocate_pinned(out_bytes))),
        uploaded(on, false),
        begin(on, true),
        end(on, true) {}
  ~Slot() {
    device.release_pinned(in);
    device.release_pinned(out);
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  CudaDevice& device;
  std::byte* in;  ///< StepState, then ids and targets of each micro-batch
  float* out;     ///< loss and metrics of each micro-batch, then the gradient norm
  Event uploaded, begin, end;
  CudaDevice::Event since = nullptr;  ///< where this step's time starts: its begin, or the end of the step before
};

class CudaSteps : public StepRunner {
 public:
  explicit CudaSteps(TrainingModel& model)
      : model_(model),
        machine_(model.machine()),
        device_(machine_.cuda()),
        micro_batches_(model.micro_batches()),
        roles_(model.training().graph().roles),
        numbers_(1 + roles_.metrics.size()),
        batch_bytes_(model.training().tensor(roles_.ids).type.bytes()),
        in_bytes_(kStateBytes + 2 * batch_bytes_ * static_cast<std::size_t>(micro_batches_)),
        out_bytes_(sizeof(float) * (numbers_ * static_cast<std::size_t>(micro_batches_) + 1)),
        staged_(in_bytes_, "batches on their way", machine_),
        resident_(in_bytes_, "the batch of a step", machine_),
        results_(out_bytes_, "results of a step", machine_),
        consumed_(device_, false),
        copies_(device_.create_stream()) {
    for (auto& slot : slots_) slot = std::make_unique<Slot>(device_, in_bytes_, out_bytes_);
  }
  ~CudaSteps() override {
    try {
      machine_.synchronize();
      device_.synchronize(copies_);
    } catch (const CudaFailure&) {
      // A step failed on the device. Whoever waited for it was told, and nothing runs there any more.
    }
    if (graph_ != nullptr) device_.destroy_graph(graph_);
    device_.destroy_stream(copies_);
  }
  CudaSteps(const CudaSteps&) = delete;
  CudaSteps& operator=(const CudaSteps&) = delete;

  void submit(const StepState& state, const BatchSource& batch) override {
    Slot& slot = *slots_[static_cast<std::size_t>(submitted_ % kSlots)];
    if (submitted_ >= kSlots) device_.synchronize_event(slot.uploaded.get());
    std::memcpy(slot.in, &state, sizeof state);
    for (int micro = 0; micro < micro_batches_; ++micro) {
      auto* ids = reinterpret_cast<std::int32_t*>(slot.in + batch_at(micro));
      batch(micro, ids, ids + batch_bytes_ / sizeof(std::int32_t));
    }
    const CudaDevice::Stream stream = machine_.stream();
    if (submitted_ > 0) device_.wait(copies_, consumed_.get());
    device_.copy(staged_.data(), slot.in, in_bytes_, copies_);
    device_.record(slot.uploaded.get(), copies_);

    // Launching for the first time chooses algorithms by measuring, which a capture cannot: that belongs to the start.
    const bool captured = captures();
    if (captured && graph_ == nullptr) {
      device_.wait(stream, slot.uploaded.get());
      prepare(state);
    }
    const Slot& before = *slots_[static_cast<std::size_t>((submitted_ + kSlots - 1) % kSlots)];
    const bool follows = submitted_ > taken_;  // the device was not idle in between
    device_.record(slot.begin.get(), stream);
    slot.since = follows ? before.end.get() : slot.begin.get();
    device_.wait(stream, slot.uploaded.get());
    device_.copy(resident_.data(), staged_.data(), in_bytes_, stream);
    device_.record(consumed_.get(), stream);
    const ProfilerRange range(machine_, "step");
    if (captured) {
      device_.replay(graph_, stream);
    } else {
      step(state);
    }
    device_.copy(slot.out, results_.data(), out_bytes_, stream);
    device_.record(slot.end.get(), stream);
    submitted_ += 1;
  }

  std::optional<StepResult> next(bool drain) override {
    NodeObserver* const observer = model_.training().observer();
    const bool ahead = !drain && observer == nullptr;  // whoever watches sees a step before the next one begins
    if (taken_ == submitted_ || (ahead && taken_ + 1 == submitted_)) return std::nullopt;
    const Slot& slot = *slots_[static_cast<std::size_t>(taken_ % kSlots)];
    try {
      device_.synchronize_event(slot.end.get());
    } catch (const CudaFailure& failure) {
      fail_run("cuda", "the device to finish a step", failure.what());
    }
    if (observer != nullptr) observer->step_finished(graph_ != nullptr);
    StepResult result;
    const auto mean = [&](std::size_t number) {
      double sum = 0;
      for (int micro = 0; micro < micro_batches_; ++micro) sum += static_cast<double>(slot.out[out_at(micro) + number]);
      return sum / micro_batches_;
    };
    result.loss = mean(0);
    for (std::size_t i = 1; i < numbers_; ++i) result.metrics.push_back(mean(i));
    result.gradient_norm = static_cast<double>(slot.out[out_at(micro_batches_)]);
    result.seconds = device_.milliseconds(slot.since, slot.end.get()) * 1e-3;
    taken_ += 1;
    return result;
  }

 private:
  static constexpr std::int64_t kSlots = 3;  ///< the step on the device, the one before (its end is a start), the next
  static constexpr std::size_t kStateBytes = 256;  ///< of a StepState, so that tokens start aligned
  static_assert(sizeof(StepState) <= kStateBytes);

  std::size_t batch_at(int micro) const { return kStateBytes + 2 * batch_bytes_ * static_cast<std::size_t>(micro); }

  /// The first of a micro-batch's numbers among those of a step; of one micro-batch too many: the gradient norm.
  std::size_t out_at(int micro) const { return numbers_ * static_cast<std::size_t>(micro); }

  /// Everything of a step between the arrival of its batch and its results in device memory.
  void step(StepState state) {
    const CudaDevice::Stream stream = machine_.stream();
    Executor& executor = model_.training();
    device_.copy(machine_.device_state(), resident_.data(), sizeof(StepState), stream);
    for (int micro = 0; micro < micro_batches_; ++micro) {
      state.micro_batch = micro;
      feed(micro);
      executor.launch(state);
      for (std::size_t i = 0; i < numbers_; ++i) {
        const ValueId number = i == 0 ? roles_.loss : roles_.metrics[i - 1].value;
        device_.copy(results_.at(sizeof(float) * (out_at(micro) + i)), executor.tensor(number).data, sizeof(float),
                     stream);
      }
    }
    model_.optimizer().update(state);
    device_.copy(results_.at(sizeof(float) * out_at(micro_batches_)), model_.optimizer().norm().data, sizeof(float),
                 stream);
  }

  /// Whether steps are captured: unless an observer must see every operation alone, or Nsight Systems watches, which
  /// shows the ranges of operations only where they are launched one by one.
  bool captures() const {
    const NodeObserver* observer = model_.training().observer();
    return (observer == nullptr || observer->captures()) && std::getenv("NSYS_PROFILING_SESSION_ID") == nullptr;
  }

  void feed(int micro) {
    const std::byte* batch = resident_.at(batch_at(micro));
    device_.copy(model_.training().tensor(roles_.ids).data, batch, batch_bytes_, machine_.stream());
    device_.copy(model_.training().tensor(roles_.targets).data, batch + batch_bytes_, batch_bytes_, machine_.stream());
  }

  /// One forward and backward pass without an update, writing and adding gradients, then the capture.
  void prepare(StepState state) {
    Executor& executor = model_.training();
    NodeObserver* const observer = executor.observer();
    executor.set_observer(nullptr);
    device_.copy(resident_.data(), staged_.data(), in_bytes_, machine_.stream());
    for (int micro = 0; micro < std::min(2, micro_batches_); ++micro) {
      state.micro_batch = micro;
      feed(micro);
      executor.run(state);
    }
    machine_.synchronize();
    executor.set_observer(observer);
    graph_ = device_.capture(machine_.stream(), [&] { step(state); });
  }

  TrainingModel& model_;
  Machine machine_;
  CudaDevice& device_;
  int micro_batches_;
  const Roles& roles_;   ///< of the training graph
  std::size_t numbers_;  ///< that a micro-batch brings back
  std::size_t batch_bytes_, in_bytes_, out_bytes_;
  Buffer staged_, resident_, results_;
  Event consumed_;
  CudaDevice::Stream copies_;
  std::array<std::unique_ptr<Slot>, kSlots> slots_;
  CudaDevice::CapturedGraph graph_ = nullptr;
  std::int64_t submitted_ = 0, taken_ = 0;
};

}  // namespace

std::unique_ptr<StepRunner> make_cuda_steps(TrainingModel& model) { return std::make_unique<CudaSteps>(model); }

}  // namespace isoloss
