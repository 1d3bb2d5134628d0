// Runs that diverged before their loss fell, and losses that are reached by a curve's first evaluation: they count, and
// none of them gives an exact figure.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "synthetic.h"
#include "tools/ceg/output/output.h"
#include "tools/ceg/output/report/report.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;
using nlohmann::json;

namespace {

Run diverged(const std::string& variant, std::int64_t seed, const std::vector<double>& steps,
             const std::function<double(double)>& loss) {
  Run run = make_run(variant, seed, steps, loss);
  run.status = "diverged";
  return run;
}

/// Four seeds of a baseline and of a variant that needs two thirds of its compute.
std::vector<Run> pairs() {
  std::vector<Run> runs;
  for (int s = 1; s <= 4; ++s) {
    const double luck = 1 + 0.02 * s;
    runs.push_back(make_run("baseline", s, even_steps(60, 10), power_law(luck)));
    runs.push_back(make_run("v", s, even_steps(60, 10), power_law(1.5 * luck)));
  }
  return runs;
}

Options one_axis(Method method = Method::interpolate) {
  Options options = options_for();
  options.cost = CostAxis::steps, options.method = method, options.resamples = 200;
  return options;
}

std::vector<std::string> every_output(const Analysis& analysis) {
  return {as_text(analysis, {}), as_markdown(analysis), as_csv(analysis),
          as_latex(analysis),    as_json(analysis),     report_page(analysis)};
}

json json_row(const Analysis& analysis, const std::string& variant) {
  const json printed = json::parse(as_json(analysis));
  for (const json& row : printed.at("rows")) {
    if (row.at("variant") == variant) return row;
  }
  throw std::runtime_error("no row of " + variant);
}

}  // namespace

TEST_CASE("a seed that diverged before its first evaluation counts, misses the target and moves no figure") {
  std::vector<Run> runs = pairs(), without = pairs();
  without.erase(without.begin() + 7);  // v's fourth seed
  runs[7] = diverged("v", 4, {0}, power_law(1));
  for (const Method method : {Method::interpolate, Method::fit, Method::paper}) {
    const Analysis analysis = analyse(runs, one_axis(method)), other = analyse(without, one_axis(method));
    const Row &row = row_of(analysis, "v"), &expected = row_of(other, "v");
    CHECK(row.status == Status::reached);
    CHECK(row.seeds == 4);
    CHECK(row.failed == 1);
    CHECK(row.pairs == 3);
    CHECK(expected.seeds == 3);
    CHECK(*row.ceg == *expected.ceg);
    CHECK(row.target == expected.target);
    const auto texts = texts_of(analysis, WarningKind::unfinished);
    REQUIRE(texts.size() == 1);
    for (const std::string& text : every_output(analysis)) {
      CHECK(text.find("1 of 4 runs diverged before their loss fell") != std::string::npos);
    }
    CHECK(texts[0].find("`v` seed 4 diverged before its loss fell (one evaluation in synthetic)") != std::string::npos);
  }
}

TEST_CASE("a variant all of whose seeds diverged is a row of every output, not reached, without figures") {
  std::vector<Run> runs = pairs();
  for (int s = 1; s <= 4; ++s) {
    // None evaluated; the start only; one evaluation; two, of which the second is the worse.
    std::vector<double> steps{0, 10, 20};
    steps.resize(static_cast<std::size_t>(s - 1));
    runs.push_back(diverged("lost", s, steps, [](double step) { return 9 + step; }));
  }
  for (const Method method : {Method::interpolate, Method::fit, Method::paper}) {
    const Analysis analysis = analyse(runs, one_axis(method));
    const Row& row = row_of(analysis, "lost");
    CHECK(row.status == Status::not_reached);
    CHECK(row.target == row_of(analysis, "v").target);
    const json printed = json_row(analysis, "lost");
    CHECK(printed.at("status") == "not_reached");
    CHECK(printed.at("seeds") == 4);
    for (const char* key : {"ceg", "low", "high", "bound", "gap", "auxiliary_ceg"}) CHECK(printed.at(key).is_null());
    for (const std::string& text : every_output(analysis)) {
      CHECK(text.find("all 4 runs diverged before their loss fell") != std::string::npos);
      CHECK(text.find("seed 3 diverged before its loss fell") != std::string::npos);
      CHECK(text.find("nan") == std::string::npos);
    }
  }
  // With nothing else to compare, the row is still there.
  std::erase_if(runs, [](const Run& run) { return run.variant == "v"; });
  CHECK(row_of(analyse(runs, one_axis()), "lost").status == Status::not_reached);
}

TEST_CASE("at least half of all runs have to reach the target, those that failed among them") {
  for (const Method method : {Method::interpolate, Method::fit, Method::paper}) {
    std::vector<Run> runs = pairs();
    for (const std::size_t i : {3, 5}) runs[i] = diverged("v", runs[i].seed, {0, 10}, power_law(1));
    CHECK(row_of(analyse(runs, one_axis(method)), "v").status == Status::reached);
    runs[7] = diverged("v", 4, {0, 10}, power_law(1));
    const Analysis analysis = analyse(runs, one_axis(method));
    const Row& row = row_of(analysis, "v");
    CHECK(row.status == Status::not_reached);
    CHECK_FALSE(row.ceg);
    std::erase_if(runs, [](const Run& run) { return run.status == "diverged"; });
    CHECK(*row.auxiliary == *row_of(analyse(runs, one_axis(method)), "v").ceg);  // of the one run that did not fail
    CHECK_FALSE(row.bound);  // that one got there, so nothing bounds it
    CHECK_FALSE(row.gap);
  }
}

TEST_CASE("a run that diverged later is compared as far as it came, and sets no target") {
  std::vector<Run> runs = pairs();
  const double target = *row_of(analyse(runs, one_axis()), "v").target;
  runs[1].points.resize(20), runs[1].status = "diverged";
  const Analysis variant = analyse(runs, one_axis());
  CHECK(row_of(variant, "v").failed == 0);
  CHECK(row_of(variant, "v").seeds == 4);
  CHECK_FALSE(row_of(variant, "v").per_seed[0].variant_reached);
  CHECK(*row_of(variant, "v").target == target);

  runs = pairs();
  runs[0].points.resize(20), runs[0].status = "diverged";
  const Analysis baseline = analyse(runs, one_axis());
  // The mean of the three that ended, not of those and of a loss at a third of the way.
  std::vector<Run> ended = pairs();
  ended.erase(ended.begin());
  CHECK(*row_of(baseline, "v").target == *row_of(analyse(ended, one_axis()), "v").target);
  CHECK_FALSE(row_of(baseline, "v").per_seed[0].baseline_reached);
  const auto texts = texts_of(baseline, WarningKind::unfinished);
  CHECK(std::count(
            texts.begin(), texts.end(),
            "scale `default`: of the baseline seed 1 diverged: the others alone set the target, and it counts as one "
            "that misses it") == 1);

  for (Run& run : runs) {
    if (run.variant == "baseline") run.points.resize(1), run.status = "diverged";
  }
  CHECK(input_error([&] { analyse(runs, one_axis()); }) ==
        "[--baseline] expected a run of `baseline` with an evaluation after its start, got only runs that diverged "
        "before their loss fell");
}

TEST_CASE("a run that was under the loss asked for before it diverged did reach it") {
  std::vector<Run> runs = pairs();
  runs[7] = diverged("v", 4, {10, 20}, [](double step) { return 3 + step / 10; });
  Options options = one_axis();
  options.target = 4.5;
  CHECK(row_of(analyse(runs, options), "v").failed == 0);
  options.target = 3.9;
  CHECK(row_of(analyse(runs, options), "v").failed == 1);
}

TEST_CASE("runs under way stay where all that ended beside them failed") {
  std::vector<Run> runs = pairs();
  for (Run& run : runs) {
    if (run.variant == "v") run.points.resize(40), run.status = "running";
  }
  runs[7] = diverged("v", 4, {0}, power_law(1));
  const Row row = row_of(analyse(runs, one_axis()), "v");
  CHECK(row.seeds == 4);
  CHECK(row.failed == 1);
}

TEST_CASE("an A/A arm that failed leaves the noise floor to the baseline's own seeds") {
  std::vector<Run> runs = pairs();
  const auto floor = analyse(runs, one_axis()).noise_floor.at(0);
  runs.push_back(diverged("again", 9, {0}, power_law(1)));
  runs.back().variant_class = "baseline";
  const Analysis analysis = analyse(runs, one_axis());
  CHECK(row_of(analysis, "again").a_a);
  CHECK(analysis.noise_floor.at(0).source == floor.source);
  CHECK(analysis.noise_floor.at(0).interval->high == floor.interval->high);
}

TEST_CASE("one evaluation a run: nothing is known of CEG, and every output says so") {
  std::vector<Run> runs;
  for (int s = 1; s <= 3; ++s) {
    runs.push_back(make_run("baseline", s, {100}, [=](double) { return 3.1; }));
    runs.push_back(make_run("v", s, {100}, [=](double) { return 3.0 + 0.001 * s; }));
  }
  const Analysis analysis = analyse(runs, one_axis());
  const Row& row = row_of(analysis, "v");
  CHECK(row.status == Status::reached);
  CHECK_FALSE(row.ceg);
  CHECK_FALSE(row.interval);
  CHECK_FALSE(row.bound);
  CHECK_FALSE(analysis.noise_floor.at(0).interval);
  CHECK(analysis.thresholds.at(0).points.empty());
  CHECK_FALSE(row.reverse->ceg);
  for (const std::string& text : every_output(analysis)) {
    CHECK(text.find("both sides are there by the first evaluation, and when before it is not known") !=
          std::string::npos);
    CHECK(text.find("1.000 (") == std::string::npos);
  }
}

TEST_CASE("reached by the variant's first evaluation: at least; by the baseline's: at most") {
  const std::vector<double> steps{100, 200, 300, 400};
  const auto falling = [](double from) { return [from](double step) { return from - step / 1000; }; };
  // The baseline ends at 3.6, where `v` begins; `w`, which ends at 4.1, never gets to where the baseline begins, 3.9.
  const Analysis analysis = analyse({make_run("baseline", 1, steps, falling(4.0)),
                                     make_run("v", 1, steps, falling(3.7)), make_run("w", 1, steps, falling(4.5))},
                                    one_axis());
  const Row &v = row_of(analysis, "v"), &w = row_of(analysis, "w");
  CHECK(v.status == Status::reached);
  CHECK_FALSE(v.ceg);
  REQUIRE(v.bound);
  CHECK(v.bound->at_least);
  CHECK(v.bound->value == doctest::Approx(4));
  CHECK_FALSE(v.per_seed.at(0).exact());
  const json row = json_row(analysis, "v");
  CHECK(row.at("ceg").is_null());
  CHECK(row.at("low") == row.at("bound"));  // the one end that is known
  CHECK(row.at("high").is_null());
  CHECK(as_text(analysis, {}).find("at least 4.000") != std::string::npos);
  CHECK(report_page(analysis).find("≥ 4.00") != std::string::npos);
  CHECK(w.status == Status::not_reached);
  CHECK_FALSE(w.auxiliary);  // at its own best loss the baseline's cost is an upper bound
  CHECK_FALSE(w.bound->at_least);
  CHECK_FALSE(w.reverse->ceg);
  CHECK_FALSE(w.reverse->bound->at_least);
  CHECK(w.reverse->bound->value == doctest::Approx(0.25));

  // One seed that was there at once is enough, whichever it is.
  for (const double first : {3.7, 3.9}) {
    const Analysis seeds =
        analyse({make_run("baseline", 1, steps, falling(4.0)), make_run("baseline", 2, steps, falling(4.0)),
                 make_run("v", 1, steps, falling(first)), make_run("v", 2, steps, falling(3.7 + 3.9 - first))},
                one_axis());
    CHECK_FALSE(row_of(seeds, "v").ceg);
    REQUIRE(row_of(seeds, "v").bound);
    CHECK(row_of(seeds, "v").bound->at_least);
  }

  Options options = one_axis();
  options.target = 4.2;  // under which the baseline begins, and which `w` reaches at 300
  const Analysis high =
      analyse({make_run("baseline", 1, steps, falling(4.0)), make_run("w", 1, steps, falling(4.5))}, options);
  CHECK(row_of(high, "w").status == Status::reached);
  CHECK_FALSE(row_of(high, "w").ceg);
  CHECK_FALSE(row_of(high, "w").bound->at_least);
  CHECK(row_of(high, "w").bound->value == doctest::Approx(100.0 / 300));
  CHECK(json_row(high, "w").at("low").is_null());
  CHECK(json_row(high, "w").at("high") == json_row(high, "w").at("bound"));
}
