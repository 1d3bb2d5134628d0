#include "tools/bench/device_timer.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

/// An event with a time stamp, destroyed with its owner.
class Stamp {
 public:
  explicit Stamp(const Machine& machine) : machine_(machine), event_(machine.cuda().create_event(/*timing=*/true)) {}
  ~Stamp() { machine_.cuda().destroy_event(event_); }
  Stamp(const Stamp&) = delete;
  Stamp& operator=(const Stamp&) = delete;

  void record() const { machine_.cuda().record(event_, machine_.stream()); }
  /// Once both have passed; waits for this one.
  double seconds_since(const Stamp& begin) const {
    machine_.cuda().synchronize_event(event_);
    return machine_.cuda().milliseconds(begin.event_, event_) * 1e-3;
  }

 private:
  const Machine& machine_;
  CudaDevice::Event event_;
};

/// A rival, captured.
class Replay {
 public:
  Replay(const Machine& machine, const Rival& rival) : machine_(machine) {
    // Not part of any sample: first launches load code and choose algorithms.
    for (int turn = 0; turn < rival.copies; ++turn) rival.work(turn);
    const Stamp begin(machine), end(machine);
    begin.record();
    for (int turn = 0; turn < rival.copies; ++turn) rival.work(turn);
    end.record();
    const double round = std::max(end.seconds_since(begin), 1e-6);  // of all copies
    const int rounds =
        std::clamp(static_cast<int>(std::ceil(kGraphSeconds / round)), 1, std::max(1, kMostLaunches / rival.copies));
    launches_ = rounds * rival.copies;
    const auto in_flight = static_cast<int>(std::clamp(kTurnSeconds / (round * rounds), 1.0, kMostInFlight));
    for (int i = 0; i < in_flight; ++i) {
      stamps_.emplace_back(std::make_unique<Stamp>(machine), std::make_unique<Stamp>(machine));
    }
    graph_ = machine.cuda().capture(machine.stream(), [&] {
      for (int turn = 0; turn < launches_; ++turn) rival.work(turn);
    });
  }
  ~Replay() { machine_.cuda().destroy_graph(graph_); }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  /// Several replays, queued before the first has ended: only the first can find the device waiting for the host.
  void turn(std::vector<double>* samples) const {
    for (const auto& [begin, end] : stamps_) {
      begin->record();
      machine_.cuda().replay(graph_, machine_.stream());
      end->record();
    }
    for (const auto& [begin, end] : stamps_) {
      const double seconds = end->seconds_since(*begin) / launches_;
      if (samples != nullptr) samples->push_back(seconds);
    }
  }
  int launches() const { return launches_; }

 private:
  static constexpr double kGraphSeconds = 1e-3, kTurnSeconds = 8e-3, kMostInFlight = 8;
  static constexpr int kMostLaunches = 512;

  const Machine& machine_;
  int launches_ = 0;
  CudaDevice::CapturedGraph graph_ = nullptr;
  std::vector<std::pair<std::unique_ptr<Stamp>, std::unique_ptr<Stamp>>> stamps_;
};

}  // namespace

std::vector<Timing> device_times(const Machine& machine, double seconds, const std::vector<Rival>& rivals) {
  std::vector<std::unique_ptr<Replay>> replays;
  for (const Rival& rival : rivals) replays.push_back(std::make_unique<Replay>(machine, rival));
  std::vector<std::vector<double>> samples(rivals.size());
  const double start = now_seconds(), whole = seconds * static_cast<double>(rivals.size());
  for (int turn = 0; (turn <= 3 || now_seconds() - start < whole) && !interrupted(); ++turn) {
    // The first turn brings the clocks up and is not counted.
    for (std::size_t i = 0; i < replays.size(); ++i) replays[i]->turn(turn > 0 ? &samples[i] : nullptr);
  }
  std::vector<Timing> timings;
  for (std::size_t i = 0; i < replays.size(); ++i) {
    timings.push_back(summary(std::move(samples[i]), replays[i]->launches()));
  }
  return timings;
}

}  // namespace isoloss::bench
