// Figures worked out by hand, and what may not change them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/ceg/synthetic.h"
#include "tools/ceg/estimate/statistics.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;

TEST_CASE("the median of an even number of values lies between the middle two") {
  const double even[] = {4, 1, 3, 2}, odd[] = {9, 1, 2};
  CHECK(median(even) == 2.5);
  CHECK(median(odd) == 2);
}

TEST_CASE("an interval leaves half of what it misses on either side") {
  // 9 degrees of freedom: 97.5 % of Student's t lie below 2.2622 in printed tables, 95 % below 1.8331.
  const auto interval = ratio_interval(std::log(1.5), Spread{0.01, 9}, 0.95);
  REQUIRE(interval);
  CHECK(interval->low == doctest::Approx(1.5 * std::exp(-0.22622)).epsilon(1e-5));
  CHECK(interval->high == doctest::Approx(1.5 * std::exp(0.22622)).epsilon(1e-5));
  const auto narrower = ratio_interval(0, Spread{0.01, 9}, 0.9);
  REQUIRE(narrower);
  CHECK(narrower->high == doctest::Approx(std::exp(0.18331)).epsilon(1e-5));
}

TEST_CASE("the order in which runs are found changes no figure") {
  std::vector<Run> runs;
  for (const std::int64_t seed : {1, 2, 3}) {
    const double luck = 1 + 0.1 * static_cast<double>(seed * seed);
    runs.push_back(make_run("baseline", seed, geometric_steps(41), power_law(luck)));
    runs.push_back(make_run("faster", seed, geometric_steps(41), power_law(2 * luck)));
  }
  const Row sorted = row_of(analyse(runs, options_for()), "faster");
  std::rotate(runs.begin(), runs.begin() + 1, runs.end());  // the baseline's seeds 2, 3, 1; the variant's 1, 2, 3
  const Row rotated = row_of(analyse(runs, options_for()), "faster");
  REQUIRE(sorted.interval);
  REQUIRE(rotated.interval);
  CHECK(sorted.pairs == 3);
  CHECK(rotated.pairs == 3);
  CHECK(rotated.ceg == sorted.ceg);
  CHECK(rotated.interval->low == sorted.interval->low);
  CHECK(rotated.interval->high == sorted.interval->high);
}

TEST_CASE("the slope over scales is that of ln CEG over ln compute") {
  // CEG 2, 4 and 8 at budgets 16 times apart: ln 2 / ln 16.
  std::vector<Run> runs;
  for (const int k : {0, 1, 2}) {
    const std::string scale = "scale " + std::to_string(k);
    const std::vector<double> steps = geometric_steps(41 + 16 * k);
    runs.push_back(make_run("baseline", 1, steps, power_law(1), scale));
    runs.push_back(make_run("faster", 1, steps, power_law(std::exp2(k + 1)), scale));
  }
  Options options = options_for();
  options.target = 2 + 8 * std::pow(std::exp2(9.0), -0.3);  // what every scale's baseline reaches
  const Analysis analysis = analyse(runs, options);
  int found = 0;
  for (const ScaleFit& fit : analysis.scale_fits) {
    CAPTURE(cost_name(fit.cost));
    REQUIRE(fit.slope);
    CHECK(*fit.slope == doctest::Approx(0.25).epsilon(1e-6));
    ++found;
  }
  CHECK(found == 3);
}

TEST_CASE("a baseline that ends above its best by more than 2 % of its gain rises") {
  // From 10 down to 2 and up again to a plateau: 2 % of the gain are 0.16.
  const auto warned = [](double plateau) {
    const auto loss = [plateau](double step) {
      return step <= 10 ? 10.8 - 0.8 * step - (step == 10 ? 0.8 : 0) : plateau;
    };
    const std::vector<Run> runs{make_run("baseline", 1, even_steps(40, 1), loss),
                                make_run("faster", 1, even_steps(40, 1), power_law(1))};
    return !texts_of(analyse(runs, options_for()), WarningKind::rising_baseline).empty();
  };
  CHECK(warned(2.2));
  CHECK_FALSE(warned(2.1));
}
