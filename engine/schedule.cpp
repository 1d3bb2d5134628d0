#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/run_config.h"

namespace isoloss {

namespace {

/// How much of the way from `begin` (0) to `end` (1) `step` has gone; 1 past the end, also of an empty way.
double progress(std::int64_t step, std::int64_t begin, std::int64_t end) {
  if (step >= end) return 1;
  return std::max(0.0, static_cast<double>(step - begin) / static_cast<double>(end - begin));
}

}  // namespace

double schedule_factor(const ScheduleConfig& schedule, std::int64_t step, std::int64_t steps) {
  const std::int64_t warmup = schedule.warmup_steps;
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
  const std::int64_t decay_steps = schedule.decay_steps < 0 ? steps : schedule.decay_steps;
  const double floor = schedule.final_fraction;
  switch (schedule.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::linear:
      return 1 - (1 - floor) * progress(step, warmup, decay_steps);
    case ScheduleKind::cosine:
      return floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress(step, warmup, decay_steps)));
    case ScheduleKind::wsd:
      return 1 - (1 - floor) * progress(step, std::max(warmup, steps - decay_steps), steps);
  }
  return 1;
}

}  // namespace isoloss
