// Crossings, targets, pairing, censoring: `--method interpolate` on curves whose CEG is known.
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/base/philox.h"
#include "synthetic.h"
#include "tools/ceg/estimate/crossing.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;

namespace {
// On the geometric grid the only errors are those of exp and log, a few units in the last place.
constexpr double kRounding = 1e-12;

Run with_losses(const std::string& variant, std::int64_t seed, const std::vector<double>& steps,
                const std::vector<double>& losses) {
  std::size_t i = 0;
  return make_run(variant, seed, steps, [&](double) { return losses[i++]; });
}
}  // namespace

TEST_CASE("the first crossing of the running minimum, linear in ln cost and loss") {
  const ReducedCurve curve = reduce(with_losses("a", 0, {0, 1, 10, 100, 1000}, {1, 5, 3, 4, 2}), CostAxis::steps);
  CHECK(curve.log_cost.size() == 4);  // the point at cost 0, which is lower than all, is left out
  CHECK(curve.minimum == std::vector<double>{5, 3, 3, 2});
  CHECK(*log_crossing(curve, 4) == doctest::Approx(0.5 * std::log(10.0)).epsilon(kRounding));
  CHECK(*log_crossing(curve, 3) == doctest::Approx(std::log(10.0)).epsilon(kRounding));
  // Under the bump at 100 the running minimum is flat; the crossing of 2.5 lies between 100 and 1000.
  CHECK(*log_crossing(curve, 2.5) == doctest::Approx(std::log(100.0) + 0.5 * std::log(10.0)).epsilon(kRounding));
  CHECK(*log_crossing(curve, 9) == 0);
  CHECK_FALSE(log_crossing(curve, 1.99));
  CHECK(crossing_width(curve, 2.5) == doctest::Approx(std::log(10.0)).epsilon(kRounding));
  CHECK(crossing_width(curve, 9) == 0);
  CHECK(crossing_width(curve, 1.99) == 0);
  CHECK_FALSE(log_crossing(curve, std::nan("")));
}

TEST_CASE("the final loss is the mean over points with at least nine tenths of the cost") {
  // Steps 10 to 100: 90 and 100 count, 80 does not.
  const ReducedCurve curve =
      reduce(with_losses("a", 0, even_steps(10, 10), {9, 9, 9, 9, 9, 9, 9, 7, 5, 4}), CostAxis::steps);
  CHECK(curve.final_loss == 4.5);
}

TEST_CASE("a variant that needs half the compute has CEG 2 on every axis and at every target") {
  const auto steps = geometric_steps(41);
  Options options = options_for();
  options.target = 2 + 8 * std::pow(std::exp2(7.0), -0.3);
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("twice", 1, steps, power_law(2))}, options);
  CHECK(analysis.costs == std::vector<CostAxis>{CostAxis::steps, CostAxis::tokens, CostAxis::flops});
  for (const CostAxis cost : analysis.costs) {
    const Row& row = row_of(analysis, "twice", cost);
    CHECK(row.status == Status::reached);
    REQUIRE(row.ceg);
    CHECK(*row.ceg == doctest::Approx(2).epsilon(kRounding));
    CHECK_FALSE(row.interval);  // one run a side: nothing to estimate noise from
    REQUIRE(row.per_seed.size() == 1);
    CHECK(row.per_seed[0].baseline_cost / row.per_seed[0].variant_cost == doctest::Approx(2).epsilon(kRounding));
  }
  // Targets of the sweep fall between grid points; the two curves are then interpolated over different intervals, whose
  // curvature costs at most (ln 2 / 4)^2 · 0.3 / 8 of ln C.
  REQUIRE(analysis.thresholds.size() == 3);
  CHECK(analysis.thresholds[0].points.size() > 15);
  for (const ThresholdPoint& point : analysis.thresholds[0].points)
    CHECK(point.ceg == doctest::Approx(2).epsilon(2e-3));
}

TEST_CASE("the other direction: CEG at the variant's own final loss, or a lower bound") {
  const auto steps = even_steps(200, 5);
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("better", 1, steps, power_law(2)),
               make_run("worse", 1, steps, power_law(0.5))},
              options_for());
  const auto& better = row_of(analysis, "better").reverse;
  REQUIRE(better);
  CHECK(better->status == Status::not_reached);
  CHECK_FALSE(better->ceg);
  // The baseline ends at 1000 steps; the variant reaches its own final loss (about that of 950) near step 950.
  CHECK(better->bound->value == doctest::Approx(1000.0 / 950).epsilon(0.01));
  const auto& worse = row_of(analysis, "worse").reverse;
  REQUIRE(worse);
  CHECK(worse->status == Status::reached);
  CHECK(*worse->ceg == doctest::Approx(0.5).epsilon(1e-3));  // curvature between points 5 steps apart
}

TEST_CASE("a variant that never reaches the target is typed so, with bound, gap and auxiliary CEG") {
  const auto steps = geometric_steps(41);
  Options options = options_for();
  options.target = 2 + 8 * std::pow(std::exp2(9.5), -0.3);  // the baseline is there at 2^9.5 of its 2^10 steps
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("half", 1, steps, power_law(0.5))}, options);
  const Row& row = row_of(analysis, "half");
  CHECK(row.status == Status::not_reached);
  CHECK_FALSE(row.ceg);
  CHECK_FALSE(row.interval);
  CHECK(row.bound->value == doctest::Approx(std::exp2(-0.5)).epsilon(kRounding));
  CHECK(*row.gap == doctest::Approx(power_law(0.5)(1024) - *options.target).epsilon(kRounding));
  CHECK(*row.auxiliary == doctest::Approx(0.5).epsilon(kRounding));
}

TEST_CASE("target final is the mean over the baseline's seeds, and a step 0 changes nothing") {
  const auto steps = even_steps(100, 10);
  std::vector<Run> runs{make_run("baseline", 1, steps, [](double s) { return power_law(1)(s) + 0.02; }),
                        make_run("baseline", 2, steps, [](double s) { return power_law(1)(s) - 0.01; }),
                        make_run("v", 1, steps, power_law(1.5)), make_run("v", 2, steps, power_law(1.5))};
  double tail = 0;
  int count = 0;
  for (const double step : steps) {
    if (step >= 900) tail += power_law(1)(step), ++count;
  }
  const Analysis analysis = analyse(runs, options_for());
  CHECK(*row_of(analysis, "v").target == doctest::Approx(tail / count + 0.005).epsilon(kRounding));
  for (Run& run : runs) {
    Point start;
    start.cost = {0, 0, 0, {}, {}, {}};
    start.val_loss = 0.5;  // lower than everything: an off curve would cross here
    run.points.insert(run.points.begin(), start);
  }
  const Analysis again = analyse(runs, options_for());
  CHECK(*row_of(again, "v").ceg == *row_of(analysis, "v").ceg);
  CHECK(row_of(again, "v").interval->low == row_of(analysis, "v").interval->low);
}

TEST_CASE(
    "paired seeds share their luck: the interval is that of the differences, and narrower than without partners") {
  const auto steps = even_steps(200, 5);
  const double luck[] = {0.8, 1.0, 1.3, 1.1}, own[] = {1.01, 0.99, 1.0, 1.02};
  std::vector<Run> runs, strangers;
  std::vector<double> logs;
  for (int s = 0; s < 4; ++s) {
    runs.push_back(make_run("baseline", s, steps, power_law(luck[s])));
    runs.push_back(make_run("v", s, steps, power_law(1.5 * luck[s] * own[s])));
    strangers.push_back(runs[runs.size() - 2]);
    strangers.push_back(runs.back());
    strangers.back().seed += 100;
    logs.push_back(std::log(1.5 * own[s]));
  }
  Options options = options_for();
  options.target = power_law(0.7)(900);  // all runs get there
  options.resamples = 20000;
  const Analysis paired = analyse(runs, options), apart = analyse(strangers, options);
  const Row &row = row_of(paired, "v"), &other = row_of(apart, "v");
  const double centre = (logs[0] + logs[1] + logs[2] + logs[3]) / 4;
  double squares = 0;
  for (const double value : logs) squares += (value - centre) * (value - centre);
  // t with 3 degrees of freedom. 20,000 resamples know a standard error to 0.5 %; curvature between points adds as
  // much.
  const double reach = 3.1824 * std::sqrt(squares / 3 / 4);
  CHECK(*row.ceg == doctest::Approx(std::exp(centre)).epsilon(1e-3));
  CHECK(std::log(row.interval->high / *row.ceg) == doctest::Approx(reach).epsilon(0.03));
  CHECK(std::log(*row.ceg / row.interval->low) == doctest::Approx(reach).epsilon(0.03));
  CHECK(*other.ceg == doctest::Approx(*row.ceg).epsilon(1e-12));
  CHECK(other.interval->high / other.interval->low > 1.3 * row.interval->high / row.interval->low);
  CHECK(row.pairs == 4);
  CHECK(other.pairs == 0);
  CHECK(texts_of(paired, WarningKind::unpaired_seeds).empty());
  CHECK(texts_of(apart, WarningKind::unpaired_seeds).size() == 1);
}

TEST_CASE("a seed without a partner takes part through the mean of the other side, with a warning") {
  const auto steps = geometric_steps(41);
  Options options = options_for();
  options.target = power_law(1)(std::exp2(7.0));
  const double q = std::exp2(0.25);
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("baseline", 2, steps, power_law(q)),
               make_run("v", 1, steps, power_law(2)), make_run("v", 2, steps, power_law(2)),
               make_run("v", 3, steps, power_law(2 * q * q))},
              options);
  const Row& row = row_of(analysis, "v");
  // Pairs 2 and 2/q; seed 3 against the baseline's mean q^(1/2): 2 q^(3/2). Geometric mean 2 q^(1/6).
  CHECK(*row.ceg == doctest::Approx(2 * std::pow(q, 1.0 / 6)).epsilon(kRounding));
  REQUIRE(row.per_seed.size() == 3);
  CHECK_FALSE(row.per_seed[2].baseline_seed);
  CHECK(row.per_seed[2].ceg == doctest::Approx(2 * std::pow(q, 1.5)).epsilon(kRounding));
  CHECK(row.seeds == 3);
  CHECK(row.pairs == 2);
  CHECK(texts_of(analysis, WarningKind::unpaired_seeds).size() == 1);
}

TEST_CASE("where one run of a pair misses the target, the pair is compared at the lowest loss that both reached") {
  const auto steps = geometric_steps(41);
  Options options = options_for();
  options.target = power_law(1)(std::exp2(9.75));
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("baseline", 2, steps, power_law(0.5)),
               make_run("v", 1, steps, power_law(2)), make_run("v", 2, steps, power_law(1))},
              options);
  const Row& row = row_of(analysis, "v");
  CHECK(row.status == Status::reached);
  CHECK(*row.ceg == doctest::Approx(2).epsilon(kRounding));
  CHECK_FALSE(row.per_seed[1].baseline_reached);
  CHECK(row.per_seed[1].target == doctest::Approx(power_law(0.5)(1024)).epsilon(kRounding));
  CHECK(texts_of(analysis, WarningKind::partly_reached).size() == 3);  // one on each axis
}

TEST_CASE("more confidence gives a wider interval, and the same seed the same bits") {
  std::vector<Run> runs;
  for (int s = 0; s < 3; ++s) {
    Philox random(7, static_cast<std::uint64_t>(s));
    for (const char* name : {"baseline", "v"}) {
      const double luck = std::exp(0.05 * random.normal());
      runs.push_back(make_run(name, s, even_steps(50, 10), power_law((name[0] == 'v' ? 1.4 : 1) * luck)));
    }
  }
  Options options = options_for();
  const auto interval = [&] { return *row_of(analyse(runs, options), "v").interval; };
  const Interval first = interval(), again = interval();
  CHECK(first.low == again.low);
  CHECK(first.high == again.high);
  options.confidence = 0.99;
  const Interval wide = interval();
  CHECK(wide.low < first.low);
  CHECK(wide.high > first.high);
  options.confidence = 0.95, options.seed = 1;
  CHECK(interval().low != first.low);
}

TEST_CASE("the noise floor is the A/A arm's interval, or the scatter of the baseline's seeds") {
  const auto steps = even_steps(200, 5);
  std::vector<Run> runs;
  const double luck[] = {0.97, 1.0, 1.03, 1.01, 0.98, 1.02};
  for (int s = 0; s < 3; ++s) {
    runs.push_back(make_run("baseline", s, steps, power_law(luck[s])));
    runs.push_back(make_run("v", s, steps, power_law(1.5 * luck[s])));
  }
  const Analysis without = analyse(runs, options_for());
  REQUIRE(without.noise_floor.size() == 3);
  REQUIRE(without.noise_floor[0].interval);
  CHECK(std::log(without.noise_floor[0].interval->high) ==
        doctest::Approx(-std::log(without.noise_floor[0].interval->low)).epsilon(1e-9));
  for (int s = 3; s < 6; ++s) {
    runs.push_back(make_run("again", s, steps, power_law(luck[s])));
    runs.back().variant_class = "baseline";
  }
  const Analysis with = analyse(runs, options_for());
  const Row& a_a = row_of(with, "again");
  CHECK(a_a.a_a);
  const auto& expected = a_a.interval ? a_a.interval : a_a.auxiliary_interval;
  REQUIRE(with.noise_floor[0].interval);
  CHECK(with.noise_floor[0].interval->low == expected->low);
  CHECK(with.noise_floor[0].interval->high == expected->high);
  CHECK(with.noise_floor[0].interval->low < 1);
  CHECK(with.noise_floor[0].interval->high > 1);
  CHECK(with.variants == std::vector<std::string>{"baseline", "v", "again"});
  CHECK(texts_of(with, WarningKind::unpaired_seeds).empty());  // other seeds are what an A/A arm is for
}

TEST_CASE("what is asked for and is not there") {
  const auto steps = even_steps(20, 5);
  const std::vector<Run> runs{make_run("baseline", 1, steps, power_law(1)), make_run("v", 1, steps, power_law(2))};
  CHECK(input_error([&] { analyse(runs, options_for("base")); }) ==
        "[--baseline] expected one of baseline, v, got base");
  CHECK(input_error([&] { analyse({runs[0]}, options_for()); }) ==
        "[PATH] expected runs of another variant beside `baseline`, got none");
  Options options = options_for();
  options.cost = CostAxis::joules;
  CHECK(input_error([&] { analyse(runs, options); }) ==
        "[--cost] expected an axis that every run carries (steps, tokens, flops), got joules, which synthetic lacks");
  options.cost = CostAxis::tokens, options.method = Method::paper;
  CHECK(input_error([&] { analyse(runs, options); }) ==
        "[--cost] expected steps (all that --method paper knows), got tokens");
}

TEST_CASE(
    "a target that the baseline never reaches gives way to its best loss; one that is met at once is warned about") {
  const auto steps = even_steps(50, 20);
  const std::vector<Run> runs{make_run("baseline", 1, steps, power_law(1)), make_run("v", 1, steps, power_law(2))};
  for (const Method method : {Method::interpolate, Method::paper}) {
    Options options = options_for();
    options.method = method;
    options.target = 2.5;
    const Analysis analysis = analyse(runs, options);
    const Row& row = row_of(analysis, "v");
    CHECK(row.status == Status::reached);
    CHECK(*row.target >= power_law(1)(1000));
    CHECK(row.per_seed[0].target == *row.target);
    CHECK(texts_of(analysis, WarningKind::partly_reached).size() == 1);
  }
  Options options = options_for();
  options.target = 1.0 + power_law(1)(20);
  // Of each run, and of the row on each of three axes, which has no figure.
  CHECK(texts_of(analyse(runs, options), WarningKind::gaps).size() == 2 + 3);
}
