#include "tools/bench/timing.h"

#include <algorithm>
#include <utility>

#include "tools/bench/device_timer.h"
#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

std::vector<Timing> host_times(double seconds, const std::vector<Rival>& rivals) {
  constexpr double kTurn = 0.02;
  std::vector<std::vector<double>> times(rivals.size());
  for (const Rival& rival : rivals) rival.work(0);
  const double start = now_seconds(), whole = seconds * static_cast<double>(rivals.size());
  for (int turn = 0; (turn < 3 || now_seconds() - start < whole) && !interrupted(); ++turn) {
    for (std::size_t i = 0; i < rivals.size(); ++i) {
      const double turn_start = now_seconds();
      for (double now = turn_start; now == turn_start || now - turn_start < kTurn;) {
        rivals[i].work(static_cast<int>(times[i].size()) + 1);
        const double end = now_seconds();
        times[i].push_back(end - now);
        now = end;
      }
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& samples : times) timings.push_back(summary(std::move(samples)));
  return timings;
}

}  // namespace

Timing summary(std::vector<double> samples, int runs_each) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples.front(), static_cast<int>(samples.size()) * runs_each};
}

std::vector<Timing> times_of(const Machine& machine, double seconds, const std::vector<Rival>& rivals) {
  return machine.on_host() ? host_times(seconds, rivals) : device_times(machine, seconds, rivals);
}

}  // namespace isoloss::bench
