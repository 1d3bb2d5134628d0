// Standard errors against those worked out by other means: every resample of few seeds can be listed.
#include <doctest/doctest.h>

#include "synthetic.h"
#include "tools/ceg/estimate/comparison.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;

namespace {

Options seeded_on_one_axis() {
  Options options = options_for();
  options.cost = CostAxis::steps;
  return options;
}

/// ln of the CEG of `v` from the runs of some seeds alone.
double log_ceg_of(const std::vector<Run>& runs, const std::vector<std::int64_t>& seeds) {
  std::vector<Run> taken;
  for (const Run& run : runs) {
    if (std::find(seeds.begin(), seeds.end(), run.seed) != seeds.end()) taken.push_back(run);
  }
  const Analysis analysis = analyse(taken, seeded_on_one_axis());
  const Row& row = row_of(analysis, "v");
  return std::log(row.ceg ? *row.ceg : *row.auxiliary);
}

}  // namespace

TEST_CASE("replicates of n items count n / (n - 1) times, seeds and blocks each with their own n") {
  const Resamples seeds{{1, 2, 4}, {}, 3, 0};  // variance 7/3
  CHECK(seeds.spread()->variance == doctest::Approx(7.0 / 3 * 3 / 2).epsilon(1e-14));
  CHECK(seeds.spread()->df == 2);
  const Resamples both{{1, 2, 4}, {0, 0, 3}, 3, 16};  // the blocks' variance is 3
  const double a = 3.5, b = 3.0 * 16 / 15;
  CHECK(both.block_spread()->variance == doctest::Approx(b).epsilon(1e-14));
  CHECK(both.spread()->variance == doctest::Approx(a + b).epsilon(1e-14));
  CHECK(both.spread()->df == doctest::Approx((a + b) * (a + b) / (a * a / 2 + b * b / 15)).epsilon(1e-14));
  CHECK_FALSE(Resamples{{1, 2}, {}, 1, 0}.spread());
}

TEST_CASE("a `final` target is read anew from every resample of the seeds") {
  // The variant falls by another power than the baseline, so that CEG depends on the target, and the baseline's seeds
  // end at different losses, so that the target depends on the resample.
  std::vector<Run> runs;
  const double luck[] = {0.5, 1.6};
  for (int s = 0; s < 2; ++s) {
    runs.push_back(make_run("baseline", s, even_steps(100, 10), power_law(luck[s])));
    runs.push_back(make_run("v", s, even_steps(100, 10),
                            [&](double step) { return 2 + 12 * std::pow(luck[s] * (1 + 0.1 * s) * step, -0.4); }));
  }
  const Analysis analysis = analyse(runs, [] {
    Options options = seeded_on_one_axis();
    options.resamples = 20000;
    return options;
  }());
  const Row& row = row_of(analysis, "v");
  REQUIRE(row.interval);
  // Two seeds have three resamples: each alone (a quarter of the draws) and both (half of them).
  const double first = log_ceg_of(runs, {0}), second = log_ceg_of(runs, {1}), both = log_ceg_of(runs, {0, 1});
  const double centre = (first + second) / 4 + both / 2;
  const double variance =
      (std::pow(first - centre, 2) + std::pow(second - centre, 2)) / 4 + std::pow(both - centre, 2) / 2;
  constexpr double kT = 12.7062, kCorrection = 2;  // one degree of freedom; n / (n - 1)
  const double reach = kT * std::sqrt(kCorrection * variance);
  // 20,000 draws know a standard error to half a percent.
  CHECK(std::log(row.interval->high / *row.ceg) == doctest::Approx(reach).epsilon(0.02));
  // A target that is held fixed would give another answer by far: the test sees which it is.
  Options fixed = seeded_on_one_axis();
  fixed.target = *row.target, fixed.resamples = 20000;
  const Analysis held = analyse(runs, fixed);
  CHECK(std::abs(std::log(std::log(row_of(held, "v").interval->high / *row.ceg) / reach)) > 0.2);
}

TEST_CASE("the detectable slope adds the quantile of 80 % power to that of the interval") {
  std::vector<Run> runs;
  const double cegs[] = {1.2, 1.5, 1.4};
  for (int k = 0; k < 3; ++k) {
    const std::string scale = "s" + std::to_string(k);
    const double length = 1000 * std::pow(10, k);
    runs.push_back(make_run("baseline", 1, even_steps(60, length / 60), power_law(1), scale));
    runs.push_back(make_run("v", 1, even_steps(60, length / 60), power_law(cegs[k]), scale));
  }
  const Analysis analysis = analyse(runs, seeded_on_one_axis());
  const ScaleFit& fit = analysis.scale_fits.at(0);
  REQUIRE(fit.slope_interval);
  REQUIRE(fit.detectable_slope);
  // Single runs at three scales: one degree of freedom, whose quantiles are tan(0.475 pi) and tan(0.3 pi).
  const double half = 0.5 * (fit.slope_interval->high - fit.slope_interval->low);
  CHECK(*fit.detectable_slope / half ==
        doctest::Approx(1 + std::tan(0.3 * M_PI) / std::tan(0.475 * M_PI)).epsilon(1e-9));
}

TEST_CASE("without an A/A arm the noise floor is that of two independent samples of the baseline's seeds") {
  const double luck[] = {0.7, 1.0, 1.3};
  std::vector<Run> runs;
  std::vector<double> logs;
  for (int s = 0; s < 3; ++s) {
    runs.push_back(make_run("baseline", s, even_steps(400, 5), power_law(luck[s])));
    runs.push_back(make_run("v", s, even_steps(400, 5), power_law(1.5 * luck[s])));
    logs.push_back(std::log(luck[s]));
  }
  // Two samples of three: twice the variance of a mean, four degrees of freedom. The slowest seed misses the target;
  // all three are then read at one loss, where their costs differ by their luck. Curvature between points adds a
  // percent.
  const double reach = 2.7764 * std::sqrt(2 * variance(logs) / 3);
  const Analysis analysis = analyse(runs, seeded_on_one_axis());
  REQUIRE(analysis.noise_floor.at(0).interval);
  CHECK(std::log(analysis.noise_floor[0].interval->high) == doctest::Approx(reach).epsilon(0.01));
  CHECK(std::log(analysis.noise_floor[0].interval->low) == doctest::Approx(-reach).epsilon(0.01));
}
