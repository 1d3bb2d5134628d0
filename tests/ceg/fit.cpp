// `--method fit`: the law and its factors recovered.
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/base/philox.h"
#include "synthetic.h"
#include "tools/ceg/output/output.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;

namespace {
Options fit_options() {
  Options options = options_for();
  options.method = Method::fit, options.cost = CostAxis::steps;
  return options;
}
}  // namespace

TEST_CASE("without noise the law comes back") {
  const auto steps = even_steps(60, 20);
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("better", 1, steps, power_law(1.7)),
               make_run("worse", 1, steps, power_law(0.6))},
              fit_options());
  const ScaleLaw& law = analysis.laws.at(0);
  // Descent stops when a step gains less than 1e-10 of a loss that tends to 0; E, A and alpha trade against each other,
  // so they are known less well than the factors.
  CHECK(law.e == doctest::Approx(2).epsilon(2e-3));
  CHECK(law.alpha == doctest::Approx(0.3).epsilon(5e-3));
  CHECK(law.a == doctest::Approx(8).epsilon(1e-2));
  CHECK(law.residual < 1e-5);
  CHECK(*row_of(analysis, "better").ceg == doctest::Approx(1.7).epsilon(1e-3));
  CHECK(*row_of(analysis, "worse").ceg == doctest::Approx(0.6).epsilon(1e-3));
  CHECK_FALSE(row_of(analysis, "better").target);
  CHECK(texts_of(analysis, WarningKind::poor_fit).empty());
  CHECK(law.from_cost == doctest::Approx(120));  // the first tenth takes no part
}

TEST_CASE("with noise the interval is around the truth and the same bits come twice; an outlier does not pull") {
  std::vector<Run> runs;
  for (int s = 0; s < 4; ++s) {
    Philox random(11, static_cast<std::uint64_t>(s));
    for (const double factor : {1.0, 1.5}) {
      const double luck = std::exp(0.03 * random.normal());
      runs.push_back(make_run(factor > 1 ? "v" : "baseline", s, even_steps(40, 25),
                              [&](double step) { return power_law(factor * luck)(step) + 0.002 * random.normal(); }));
    }
  }
  const Analysis analysis = analyse(runs, fit_options());
  const Row& row = row_of(analysis, "v");
  REQUIRE(row.interval);
  CHECK(row.interval->low < 1.5);
  CHECK(row.interval->high > 1.5);
  CHECK(row.interval->high / row.interval->low < 1.5);
  CHECK(row_of(analyse(runs, fit_options()), "v").interval->low == row.interval->low);
  runs[1].points[30].val_loss += 2;
  // Least squares would move by several percent; Huber's loss bounds what one of 320 points can do.
  CHECK(*row_of(analyse(runs, fit_options()), "v").ceg == doctest::Approx(*row.ceg).epsilon(0.01));
}

TEST_CASE("curves that do not fall determine no factor") {
  const auto steps = even_steps(20, 10);
  for (const double slope : {0.0, 1e-6, 0.01}) {  // flat, as good as flat, rising
    CAPTURE(slope);
    const auto curve = [slope](double offset) { return [=](double step) { return 3 + offset + slope * step; }; };
    const Analysis analysis =
        analyse({make_run("baseline", 1, steps, curve(0)), make_run("baseline", 2, steps, curve(1e-5)),
                 make_run("v", 1, steps, curve(2e-5)), make_run("v", 2, steps, curve(4e-5))},
                fit_options());
    CHECK_FALSE(row_of(analysis, "v").ceg);
    CHECK_FALSE(row_of(analysis, "v").interval);
    const auto warnings = texts_of(analysis, WarningKind::poor_fit);
    CHECK(std::count(warnings.begin(), warnings.end(),
                     "scale `default` on steps: the factor of `v` is not determined by its curve") == 1);
  }
}

TEST_CASE("a law whose A no double holds is not printed as inf") {
  const auto steps = even_steps(20, 10);
  Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)), make_run("v", 1, steps, power_law(2))}, fit_options());
  CHECK(as_text(analysis, {120, false}).find("(k C)^") != std::string::npos);
  analysis.laws.at(0).a = INFINITY;  // as curves give that leap by tens of decades
  CHECK(as_text(analysis, {120, false}).find("inf") == std::string::npos);
}

TEST_CASE("curves that follow no such law are reported") {
  const auto steps = even_steps(60, 20);
  const Analysis analysis =
      analyse({make_run("baseline", 1, steps, power_law(1)),
               make_run("odd", 1, steps, [](double s) { return power_law(1)(s) + 0.4 * std::sin(s / 100); })},
              fit_options());
  CHECK(texts_of(analysis, WarningKind::poor_fit).size() == 3);  // one on each axis
  CHECK(input_error([&] {
          analyse({make_run("baseline", 1, steps, power_law(1)), make_run("v", 1, steps, [](double) { return -1; })},
                  fit_options());
        }) == "[synthetic] expected losses above 0 for --method fit, got -1");
}
