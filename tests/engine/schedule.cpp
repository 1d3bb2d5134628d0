#include <doctest/doctest.h>

#include "engine/run_config.h"

using isoloss::schedule_factor;
using isoloss::ScheduleConfig;
using isoloss::ScheduleKind;

namespace {
ScheduleConfig schedule(ScheduleKind kind, std::int64_t warmup, std::int64_t decay, double floor) {
  ScheduleConfig config;
  config.kind = kind;
  config.warmup_steps = warmup;
  config.decay_steps = decay;
  config.final_fraction = floor;
  return config;
}
}  // namespace

TEST_CASE("warm-up rises by equal parts and never starts at zero") {
  for (const ScheduleKind kind :
       {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::constant, ScheduleKind::wsd}) {
    const ScheduleConfig config = schedule(kind, 4, -1, 0.1);
    CHECK(schedule_factor(config, 0, 100) == 1.0 / 5);
    CHECK(schedule_factor(config, 3, 100) == 4.0 / 5);
    CHECK(schedule_factor(config, 4, 100) == 1.0);
  }
}

TEST_CASE("cosine and linear fall from the end of the warm-up to final_fraction at decay_steps, then stay") {
  // Half-way between step 10 and step 90 is step 50.
  const ScheduleConfig cosine = schedule(ScheduleKind::cosine, 10, 90, 0.2);
  CHECK(schedule_factor(cosine, 50, 200) == doctest::Approx(0.6).epsilon(1e-15));  // cos(pi/2) is not exactly 0
  CHECK(schedule_factor(cosine, 30, 200) ==
        doctest::Approx(0.2 + 0.8 * 0.5 * (1 + 0.70710678118654752)).epsilon(1e-15));
  CHECK(schedule_factor(cosine, 90, 200) == 0.2);
  CHECK(schedule_factor(cosine, 199, 200) == 0.2);
  const ScheduleConfig linear = schedule(ScheduleKind::linear, 10, 90, 0.5);
  CHECK(schedule_factor(linear, 50, 200) == 0.75);
  CHECK(schedule_factor(linear, 30, 200) == 0.875);
  CHECK(schedule_factor(linear, 150, 200) == 0.5);
}

TEST_CASE("decay_steps counts from step 0 and is run.steps by default") {
  const ScheduleConfig linear = schedule(ScheduleKind::linear, 0, -1, 0);
  CHECK(schedule_factor(linear, 25, 100) == 0.75);
  CHECK(schedule_factor(linear, 100, 100) == 0);
}

TEST_CASE("constant stays, whatever its other keys say") {
  const ScheduleConfig config = schedule(ScheduleKind::constant, 0, 3, 0.1);
  CHECK(schedule_factor(config, 0, 10) == 1);
  CHECK(schedule_factor(config, 9, 10) == 1);
}

TEST_CASE("wsd is constant until the last decay_steps, then linear") {
  const ScheduleConfig config = schedule(ScheduleKind::wsd, 10, 20, 0.5);
  CHECK(schedule_factor(config, 10, 100) == 1);
  CHECK(schedule_factor(config, 80, 100) == 1);
  CHECK(schedule_factor(config, 90, 100) == 0.75);
  CHECK(schedule_factor(config, 100, 100) == 0.5);
}

TEST_CASE("a run that ends inside the warm-up, or whose decay is shorter than it, has no division by zero") {
  for (const ScheduleKind kind : {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::wsd}) {
    CHECK(schedule_factor(schedule(kind, 50, -1, 0.25), 4, 5) == 5.0 / 51);
    CHECK(schedule_factor(schedule(kind, 5, 5, 0.25), 5, 5) == 0.25);
  }
}
