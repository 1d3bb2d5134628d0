// `--method paper` on curves whose smoothed crossings land where those of arXiv 2505.04075v2 did.
#include <doctest/doctest.h>

#include "synthetic.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;

namespace {

double falling(double i) { return 3 + 5 * std::exp(-i / 40); }

/// Evaluations at steps 0, 100, 200, …, the first of them at place `ahead` of the baseline's curve. A trailing mean of
/// 8 keeps the distance exactly from the eighth evaluation on.
Run shifted(const std::string& variant, int evaluations, int ahead) {
  std::vector<double> steps;
  for (int i = 0; i < evaluations; ++i) steps.push_back(100.0 * i);
  return make_run(variant, 1, steps, [=](double step) { return falling(step / 100 + ahead); });
}

double smoothed(int i) {
  double sum = 0;
  for (int k = i - 7; k <= i; ++k) sum += falling(k);
  return sum / 8;
}

/// Falls so slowly that its last smoothed loss, its smallest, lies between the baseline's smoothed losses at places
/// `place - 2` and `place - 1`: the baseline gets there with evaluation number `place`.
Run short_of(const std::string& variant, int evaluations, int place) {
  const double lowest = 0.5 * (smoothed(place - 2) + smoothed(place - 1)), slope = 1e-3;
  std::vector<double> steps;
  for (int i = 0; i < evaluations; ++i) steps.push_back(100.0 * i);
  return make_run(variant, 1, steps,
                  [=](double step) { return lowest + slope * (evaluations - 1 - 3.5 - step / 100); });
}

Options paper_options() {
  Options options = options_for();
  options.method = Method::paper;
  return options;
}

}  // namespace

TEST_CASE("the compact ladder's ratios: 101 evaluations of the baseline") {
  const Analysis analysis =
      analyse({shifted("baseline", 101, 0), shifted("flash", 101, 101 - 95), shifted("rope", 101, 101 - 54),
               shifted("layernorm", 101, 101 - 55), shifted("all", 101, 101 - 29), short_of("sparse", 101, 52),
               short_of("multi-query", 101, 68)},
              paper_options());
  // Ratios of small integers: equal to the last bit.
  CHECK(*row_of(analysis, "flash").ceg == 101.0 / 95);
  CHECK(*row_of(analysis, "rope").ceg == 101.0 / 54);
  CHECK(*row_of(analysis, "layernorm").ceg == 101.0 / 55);
  CHECK(*row_of(analysis, "all").ceg == 101.0 / 29);
  for (const auto& [variant, auxiliary] : {std::pair{"sparse", 52.0 / 101}, std::pair{"multi-query", 68.0 / 101}}) {
    const Row& row = row_of(analysis, variant);
    CHECK(row.status == Status::not_reached);
    CHECK_FALSE(row.ceg);
    REQUIRE(row.auxiliary);
    CHECK(*row.auxiliary == auxiliary);
    CHECK(*row.gap > 0);
    CHECK(row.bound->value == doctest::Approx(1));
  }
  CHECK(analysis.costs == std::vector<CostAxis>{CostAxis::steps});
  for (const Row& row : analysis.rows) CHECK_FALSE(row.interval);
}

TEST_CASE("the full-scale ladder's ratios: 27 evaluations of the baseline, variants that go on longer") {
  const Analysis analysis = analyse({shifted("baseline", 27, 0), shifted("rope", 27, 7), shifted("layernorm", 27, 8),
                                     shifted("all", 27, 12), shifted("sparse", 40, -1), shifted("multi-query", 40, -2)},
                                    paper_options());
  CHECK(*row_of(analysis, "rope").ceg == 27.0 / 20);
  CHECK(*row_of(analysis, "layernorm").ceg == 27.0 / 19);
  CHECK(*row_of(analysis, "all").ceg == 27.0 / 15);
  CHECK(*row_of(analysis, "sparse").ceg == 27.0 / 28);
  CHECK(*row_of(analysis, "multi-query").ceg == 27.0 / 29);
}

TEST_CASE("at the start the trailing mean takes the evaluations there are") {
  // Baseline 9, 5, 4 → smoothed 9, 7, 6. Variant 8, 4, 4 → smoothed 8, 6, 5.33: at or under 6 with its second.
  const auto run = [](const char* name, std::vector<double> losses) {
    std::size_t i = 0;
    return make_run(name, 1, {0, 1, 2}, [&](double) { return losses[i++]; });
  };
  const Analysis analysis = analyse({run("baseline", {9, 5, 4}), run("v", {8, 4, 4})}, paper_options());
  CHECK(*row_of(analysis, "v").target == 6);
  CHECK(*row_of(analysis, "v").ceg == 3.0 / 2);
}

TEST_CASE("several seeds: the geometric mean of the pairs") {
  std::vector<Run> runs{shifted("baseline", 101, 0), shifted("v", 101, 101 - 50), shifted("baseline", 101, 0),
                        shifted("v", 101, 101 - 80)};
  runs[2].seed = runs[3].seed = 2;
  const Analysis analysis = analyse(runs, paper_options());
  const Row& row = row_of(analysis, "v");
  CHECK(*row.ceg == doctest::Approx(101 / std::sqrt(50.0 * 80)).epsilon(1e-14));
  CHECK(row.per_seed[0].ceg == 101.0 / 50);
  CHECK(row.per_seed[1].ceg == 101.0 / 80);
}
