// Dependence on scale, compositions, published values and warnings.
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/base/philox.h"
#include "synthetic.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;

namespace {

/// Three seeds of baseline and variant at scales of 1,000, 10,000 and 100,000 steps; the variant's CEG is given per
/// scale.
std::vector<Run> at_scales(const std::vector<double>& cegs, double noise) {
  std::vector<Run> runs;
  double length = 1000;
  for (const double ceg : cegs) {
    const std::string scale = "s" + std::to_string(static_cast<int>(length));
    for (int s = 0; s < 3; ++s) {
      Philox random(3, static_cast<std::uint64_t>(s) + static_cast<std::uint64_t>(length));
      runs.push_back(
          make_run("baseline", s, even_steps(60, length / 60), power_law(std::exp(noise * random.normal())), scale));
      runs.push_back(
          make_run("v", s, even_steps(60, length / 60), power_law(ceg * std::exp(noise * random.normal())), scale));
    }
    length *= 10;
  }
  return runs;
}

const ScaleFit& fit_of(const Analysis& analysis) {
  for (const ScaleFit& fit : analysis.scale_fits) {
    if (fit.variant == "v" && fit.cost == CostAxis::flops) return fit;
  }
  throw std::runtime_error("no fit");
}

/// All given subsets of a, b, c as variants; their factors multiply but for `extra` where a and b meet.
std::vector<Run> subsets(const std::vector<std::string>& names, double extra) {
  const std::pair<char, double> factors[] = {{'a', 2.0}, {'b', 1.5}, {'c', 1.2}};
  std::vector<Run> runs;
  for (int seed = 1; seed <= 3; ++seed) {
    for (const std::string& name : names) {
      double factor = 1 + 0.01 * seed;
      Run run;
      for (const auto& [part, value] : factors) {
        if (name.find(part) != std::string::npos && name != "baseline") factor *= value;
      }
      if (name.find("ab") != std::string::npos) factor *= extra;
      run = make_run(name, seed, even_steps(400, 5), power_law(factor));
      if (name != "baseline" && name.size() > 1) {
        for (const char part : name) run.parts.emplace_back(1, part);
      }
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

}  // namespace

TEST_CASE("the verdict on scale dependence") {
  const Analysis growing = analyse(at_scales({1.2, 1.5, 1.875}, 0.005), options_for());
  CHECK(fit_of(growing).verdict == Verdict::dependent);
  // ln 1.25 per factor 10 of compute; noise 0.005 per run and interpolation move the slope by a few thousandths.
  CHECK(*fit_of(growing).slope == doctest::Approx(std::log(1.25) / std::log(10)).epsilon(0.05));
  CHECK(growing.scales == std::vector<std::string>{"s1000", "s10000", "s100000"});
  const Analysis level = analyse(at_scales({1.5, 1.5, 1.5}, 0.005), options_for());
  CHECK(fit_of(level).verdict == Verdict::independent);
  CHECK(*fit_of(level).detectable_slope > 0);
  const Analysis noisy = analyse(at_scales({1.5, 1.5, 1.5}, 0.3), options_for());
  CHECK(fit_of(noisy).verdict == Verdict::undetermined);
  CHECK(*fit_of(noisy).detectable_slope > *fit_of(level).detectable_slope);
  const Analysis two = analyse(at_scales({1.2, 1.5}, 0.005), options_for());
  CHECK(fit_of(two).verdict == Verdict::undetermined);
  CHECK(fit_of(two).slope);
  CHECK_FALSE(fit_of(two).slope_interval);
  CHECK(fit_of(two).reason == "two compute budgets: at least three are needed");
}

TEST_CASE("a combination beside the product of its parts, and Shapley values that multiply to it") {
  const Analysis analysis = analyse(subsets({"baseline", "a", "b", "c", "ab", "ac", "bc", "abc"}, 1.1), options_for());
  const auto found = std::find_if(analysis.compositions.begin(), analysis.compositions.end(),
                                  [](const Composition& c) { return c.variant == "abc" && c.cost == CostAxis::steps; });
  REQUIRE(found != analysis.compositions.end());
  // Interpolation over even steps: a few times 1e-4 of each factor.
  CHECK(found->product == doctest::Approx(2 * 1.5 * 1.2).epsilon(2e-3));
  CHECK(found->combined == doctest::Approx(2 * 1.5 * 1.2 * 1.1).epsilon(2e-3));
  CHECK(found->interaction == doctest::Approx(1.1).epsilon(2e-3));
  CHECK(found->missing.empty());
  REQUIRE(found->parts.size() == 3);
  double product = 1;
  for (const auto& part : found->parts) product *= part.shapley.value();
  CHECK(product == doctest::Approx(found->combined).epsilon(1e-12));
  // a and b share the factor of their meeting, c has none of it.
  CHECK(*found->parts[0].shapley == doctest::Approx(2 * std::sqrt(1.1)).epsilon(2e-3));
  CHECK(*found->parts[1].shapley == doctest::Approx(1.5 * std::sqrt(1.1)).epsilon(2e-3));
  CHECK(*found->parts[2].shapley == doctest::Approx(1.2).epsilon(2e-3));
  REQUIRE(found->interaction_interval);
  CHECK(found->interaction_interval->low <= found->interaction);
}

TEST_CASE("a composition says which combinations it lacks") {
  const Analysis analysis = analyse(subsets({"baseline", "a", "b", "c", "ab", "abc"}, 1), options_for());
  const auto& composition = analysis.compositions.at(1);
  CHECK(composition.variant == "abc");
  CHECK(composition.missing == std::vector<std::string>{"a + c", "b + c"});
  CHECK_FALSE(composition.parts[0].shapley);
  const Analysis without_part = analyse(subsets({"baseline", "a", "abc"}, 1), options_for());
  CHECK(without_part.compositions.empty());
  CHECK(texts_of(without_part, WarningKind::missing).at(0) ==
        "no composition of `abc` at scale `default` on steps: without a CEG of b, c");
}

TEST_CASE("a variant that lists one part does not stand for that part") {
  std::vector<Run> runs = subsets({"baseline", "b", "c", "bc"}, 1);
  for (int seed = 1; seed <= 3; ++seed) {
    Run other = make_run("other", seed, even_steps(400, 5), power_law(3));
    other.parts = {"b"};
    runs.insert(runs.begin(), other);
  }
  const Analysis analysis = analyse(std::move(runs), options_for());
  REQUIRE_FALSE(analysis.compositions.empty());
  CHECK(analysis.compositions.front().parts.at(0).alone == doctest::Approx(1.5).epsilon(2e-3));
}

TEST_CASE("published values find their variants however those are spelled") {
  CHECK(published_for("Layer-Norm").size() == 2);
  CHECK(published_for("rope").size() == 3);
  CHECK(*published_for("multi_query")[0].auxiliary == 0.673);
  CHECK_FALSE(published_for("multi_query")[0].ceg);
  CHECK(published_for("nothing").empty());
}

TEST_CASE("warnings: each for its own cause and for nothing else") {
  const auto steps = even_steps(40, 10);
  std::vector<Run> clean;
  for (int s = 0; s < 3; ++s) {
    clean.push_back(make_run("baseline", s, steps, power_law(1 + 0.01 * s)));
    clean.push_back(make_run("v", s, steps, power_law(1.5 + 0.01 * s)));
  }
  const auto warned = [](const std::vector<Run>& runs, WarningKind kind) {
    Options options = options_for();
    options.resamples = 100;  // no warning depends on their number
    return texts_of(analyse(runs, options), kind);
  };
  const WarningKind kinds[] = {WarningKind::unequal_runs,
                               WarningKind::repeated_losses,
                               WarningKind::record,
                               WarningKind::identical_curves,
                               WarningKind::rising_baseline,
                               WarningKind::unequal_evaluation,
                               WarningKind::gaps,
                               WarningKind::unpaired_seeds,
                               WarningKind::few_seeds,
                               WarningKind::hardware,
                               WarningKind::unfinished,
                               WarningKind::noise_floor,
                               WarningKind::poor_fit,
                               WarningKind::missing};
  const Analysis nothing = analyse(clean, options_for());
  for (const WarningKind kind : kinds) CHECK(texts_of(nothing, kind).empty());

  SUBCASE("identical curves") {
    auto runs = clean;
    for (std::size_t i = 0; i < steps.size(); ++i) runs[1].points[i].val_loss = runs[0].points[i].val_loss;
    CHECK(warned(runs, WarningKind::identical_curves) ==
          std::vector<std::string>{
              "scale `default`: the curve of `v` seed 0 equals that of `baseline` seed 0 bit for bit"});
    auto third = runs[0];  // one warning for each curve that was there before, not for each pair
    third.seed = 5;
    runs.push_back(third);
    CHECK(warned(runs, WarningKind::identical_curves).size() == 2);
    runs.pop_back();
    runs[1].points[7].val_loss = std::nextafter(runs[1].points[7].val_loss, 0.0);
    CHECK(warned(runs, WarningKind::identical_curves).empty());
  }
  SUBCASE("losses that no text has") {
    auto runs = clean;
    CHECK(warned(runs, WarningKind::record).empty());
    runs[1].points[3].val_loss = 0;
    const auto texts = warned(runs, WarningKind::record);
    REQUIRE(texts.size() == 1);
    CHECK(texts[0].find("1 of " + std::to_string(steps.size()) + " losses of `v` seed 0 are not above 0, 0 at step") !=
          std::string::npos);
  }
  SUBCASE("a baseline that rises at the end") {
    auto runs = clean;
    for (std::size_t i = 34; i < steps.size(); ++i) runs[0].points[i].val_loss += 0.03 * static_cast<double>(i - 33);
    CHECK(warned(runs, WarningKind::rising_baseline).size() == 1);
    auto other = clean;
    other[1] = runs[0], other[1].variant = "v";  // a variant may
    CHECK(warned(other, WarningKind::rising_baseline).empty());
  }
  SUBCASE("unequal evaluation sets") {
    auto runs = clean;
    for (Run& run : runs) run.evaluation_set = "x";
    CHECK(warned(runs, WarningKind::unequal_evaluation).empty());
    runs[3].evaluation_set = "y";
    CHECK(warned(runs, WarningKind::unequal_evaluation).size() == 1);
  }
  SUBCASE("runs that differ in what their manifests say: tokenizer, training data, tokens a step, length") {
    auto runs = clean;
    for (Run& run : runs) run.tokenizer = "x", run.training_data = "d";
    CHECK(warned(runs, WarningKind::unequal_evaluation).empty());
    runs[3].tokenizer = "y";
    CHECK(warned(runs, WarningKind::unequal_evaluation).at(0).find("different tokenizers") != std::string::npos);
    runs[3].training_data = "e";
    CHECK(warned(runs, WarningKind::unequal_runs).size() == 1);
    runs = clean;
    for (Point& point : runs[1].points) *point.cost[static_cast<std::size_t>(CostAxis::tokens)] *= 2;
    const Analysis analysis = analyse(runs, options_for());
    REQUIRE(texts_of(analysis, WarningKind::unequal_runs).size() == 1);
    for (const Warning& warning : analysis.warnings) {
      if (warning.kind == WarningKind::unequal_runs) CHECK(warning.cost == CostAxis::steps);
    }
    runs = clean;
    runs[2].points.pop_back();  // a baseline that was cut; where it diverged, that is said elsewhere
    CHECK(warned(runs, WarningKind::unequal_runs).at(0).find("runs of `baseline` end at different steps") !=
          std::string::npos);
    runs[2].status = "diverged";
    CHECK(warned(runs, WarningKind::unequal_runs).empty());
    runs = clean;
    for (std::size_t i = 1; i < runs.size(); i += 2)
      runs[i].points.pop_back();  // a shorter variant is nobody's mistake
    CHECK(warned(runs, WarningKind::unequal_runs).empty());
  }
  SUBCASE("runs of one arm that were told different things, the A/A arm among the baseline") {
    auto runs = clean;
    for (Run& run : runs) run.settings = {{"model.norm", run.variant}, {"optimizer.learning_rate", "0.1"}};
    CHECK(warned(runs, WarningKind::unequal_runs).empty());
    runs[3].settings["optimizer.learning_rate"] = "0.2", runs[5].settings.erase("model.norm");
    CHECK(warned(runs, WarningKind::unequal_runs) ==
          std::vector<std::string>{"scale `default`: runs of `v` differ in more than their seed: model.norm, "
                                   "optimizer.learning_rate"});
    runs = clean;
    runs.push_back(make_run("again", 9, steps, power_law(1)));
    runs.back().variant_class = "baseline";
    runs[0].settings = {{"a", "1"}}, runs.back().settings = {{"a", "2"}};
    CHECK(warned(runs, WarningKind::unequal_runs).at(0).find("the baseline and its A/A arm `again` differ") !=
          std::string::npos);
  }
  SUBCASE("what only some evaluations carry: a cost, blocks, a place on the grid") {
    auto runs = clean;
    runs[1].points.back().cost[static_cast<std::size_t>(CostAxis::flops)].reset();
    const Analysis analysis = analyse(runs, options_for());
    REQUIRE(texts_of(analysis, WarningKind::gaps).size() == 1);
    CHECK(texts_of(analysis, WarningKind::gaps)[0] ==
          "scale `default`: 1 of 40 evaluations of `v` seed 0 have no `flops` and are left out on that axis");
    for (const Warning& warning : analysis.warnings) {
      if (warning.kind == WarningKind::gaps) CHECK(warning.cost == CostAxis::flops);
    }
    runs = clean;
    for (Run& run : runs) {
      for (Point& point : run.points) point.block_losses = {point.val_loss, point.val_loss};
    }
    CHECK(warned(runs, WarningKind::unequal_evaluation).empty());
    runs[4].points[3].block_losses.clear();
    CHECK(warned(runs, WarningKind::unequal_evaluation).at(0).find("different numbers of blocks") != std::string::npos);
    runs = clean;
    for (std::size_t i = 1; i < runs.size(); i += 2) {
      std::vector<Point> half;
      for (std::size_t k = 1; k < steps.size(); k += 2) half.push_back(runs[i].points[k]);
      runs[i].points = half;
    }
    CHECK(warned(runs, WarningKind::unequal_runs).at(0).find("evaluated at different distances") != std::string::npos);
  }
  SUBCASE("losses that repeat: by chance where they are rounded, else not") {
    auto runs = clean;
    runs[1].points[20].val_loss = runs[1].points[19].val_loss;
    const auto texts = warned(runs, WarningKind::repeated_losses);
    REQUIRE(texts.size() == 1);
    CHECK(texts[0].find("1 of 40 losses of `v` seed 0 repeat an earlier one to the last digit, at step 210") !=
          std::string::npos);
    const auto rounded = [&](double inverse_place) {
      auto copy = clean;
      for (Run& run : copy) {
        for (Point& point : run.points) point.val_loss = std::round(point.val_loss * inverse_place) / inverse_place;
      }
      return copy;
    };
    runs = clean;
    for (std::size_t i = 30; i < steps.size(); ++i) runs[3].points[i].val_loss = runs[3].points[i - 10].val_loss;
    CHECK(warned(runs, WarningKind::repeated_losses).at(0).find("10 of 40 losses of `v` seed 1") != std::string::npos);
    CHECK(warned(rounded(1e4), WarningKind::repeated_losses).empty());
    // A flat end with noise, in floats as many loggers have it, and rounded.
    for (const double inverse_place : {0.0, 1e6, 1e4, 1e3, 1e2}) {
      Philox random(11, 0);
      runs = clean;
      for (Run& run : runs) {
        run = make_run(run.variant, run.seed, even_steps(3000, 10), [&](double step) {
          const double loss = power_law(1)(step) + 0.003 * random.normal();
          return inverse_place == 0 ? static_cast<double>(static_cast<float>(loss))
                                    : std::round(loss * inverse_place) / inverse_place;
        });
      }
      CAPTURE(inverse_place);
      CHECK(warned(runs, WarningKind::repeated_losses).empty());
      if (inverse_place != 0) continue;
      runs[1].points[1500].val_loss = runs[1].points[1499].val_loss;  // two neighbours, of which chance makes none
      CHECK(warned(runs, WarningKind::repeated_losses).size() == 1);
    }
    CHECK(warned(rounded(1e1), WarningKind::repeated_losses).empty());  // many repeats, all of them honest
    runs = rounded(1e4);
    for (std::size_t i = 1; i < steps.size(); i += 2) runs[1].points[i].val_loss = runs[1].points[i - 1].val_loss;
    CHECK(warned(runs, WarningKind::repeated_losses).size() == 1);
  }
  SUBCASE("gaps") {
    auto runs = clean;
    runs[2].points.erase(runs[2].points.begin() + 20);
    CHECK(warned(runs, WarningKind::gaps) ==
          std::vector<std::string>{
              "scale `default`: the curve of `baseline` seed 1 has gaps: no evaluation from step 200 to 220"});
    const Analysis geometric = analyse({make_run("baseline", 1, geometric_steps(30), power_law(1)),
                                        make_run("v", 1, geometric_steps(30), power_law(2))},
                                       options_for());
    CHECK(texts_of(geometric, WarningKind::gaps).empty());
  }
  SUBCASE("a crossing between evaluations that are far apart") {
    const std::vector<double> sparse{100, 400, 1600};
    Options options = options_for();
    options.cost = CostAxis::steps, options.target = power_law(1)(1000);
    const auto texts = texts_of(
        analyse({make_run("baseline", 1, sparse, power_law(1)), make_run("v", 1, sparse, power_law(1.5))}, options),
        WarningKind::gaps);
    REQUIRE(texts.size() == 3);  // one on each axis
    CHECK(texts[0] ==
          "scale `default` on steps: `v` is compared between evaluations up to a factor of 4.00 apart in "
          "cost, within which its CEG is a guess");
  }
  SUBCASE("few seeds") {
    CHECK(warned({clean[0], clean[1]}, WarningKind::few_seeds).size() == 1);
    CHECK(warned({clean[0], clean[1], clean[2], clean[3]}, WarningKind::few_seeds).size() == 1);
  }
  SUBCASE("hardware matters for seconds only") {
    auto runs = clean;
    for (Run& run : runs) run.hardware = &run == &runs[0] ? "a" : "b";
    CHECK(warned(runs, WarningKind::hardware).empty());
    for (Run& run : runs) {
      for (Point& point : run.points) point.cost[static_cast<std::size_t>(CostAxis::seconds)] = *point.cost[0];
    }
    const Analysis analysis = analyse(runs, options_for());
    REQUIRE(texts_of(analysis, WarningKind::hardware).size() == 1);
    for (const Warning& warning : analysis.warnings) {
      if (warning.kind == WarningKind::hardware) CHECK(warning.cost == CostAxis::seconds);
    }
  }
  SUBCASE("unfinished runs") {
    auto runs = clean;
    runs[0].status = "finished", runs[1].status = "diverged";
    CHECK(warned(runs, WarningKind::unfinished).size() == 1);
  }
  SUBCASE("an A/A arm that is not where it should be") {
    auto runs = clean;
    for (int s = 0; s < 3; ++s) {
      runs.push_back(make_run("baseline (A/A)", 100 + s, steps, power_law(1.3 + 0.01 * s)));
    }
    CHECK(warned(runs, WarningKind::noise_floor).size() == 3);
  }
  SUBCASE("an A/A arm on the baseline's own seeds") {
    auto runs = clean;
    for (int s = 0; s < 3; ++s) runs.push_back(make_run("baseline (A/A)", s, steps, power_law(1.001 - 0.001 * s)));
    CHECK(warned(runs, WarningKind::noise_floor).at(0).find("has seeds of the baseline") != std::string::npos);
  }
  SUBCASE("scales without a baseline or a variant") {
    auto runs = clean;
    runs.push_back(make_run("v", 1, steps, power_law(2), "alone"));
    CHECK(warned(runs, WarningKind::missing) ==
          std::vector<std::string>{"scale `alone` has no run of the baseline `baseline` and is left out"});
  }
}

TEST_CASE("a variant has one class and one list of parts, told by some of its runs or by all") {
  std::vector<Run> runs;
  for (int s = 0; s < 3; ++s) {
    runs.push_back(make_run("baseline", s, even_steps(60, 10), power_law(1)));
    runs.push_back(make_run("v", s, even_steps(60, 10), power_law(2)));
  }
  runs[3].variant_class = "systems";
  CHECK(analyse(runs, options_for()).rows.at(0).variant_class == "systems");
  runs[5].variant_class = "baseline", runs[5].source = "other";
  CHECK(input_error([&] { analyse(runs, options_for()); }) ==
        "[other] expected class `systems` for variant `v`, as in synthetic, got class `baseline`");
  runs[5].variant_class.clear(), runs[1].parts = {"a", "b"}, runs[5].parts = {"a"};
  CHECK(input_error([&] { analyse(runs, options_for()); }) ==
        "[other] expected parts `a; b` for variant `v`, as in synthetic, got parts `a`");
}

TEST_CASE("half a curve is left out beside whole ones of its variant; a diverged run and a lone one are not") {
  std::vector<Run> runs;
  for (int s = 0; s < 3; ++s) {
    runs.push_back(make_run("baseline", s, even_steps(60, 10), power_law(1)));
    runs.push_back(make_run("v", s, even_steps(60, 10), power_law(2)));
    runs[runs.size() - 2].status = runs.back().status = "finished";
  }
  const auto runs_of_v = [&](const std::string& status, std::size_t steps) {
    runs.push_back(make_run("v", 3, even_steps(steps, 10), power_law(2)));
    runs.back().status = status;
    const Analysis analysis = analyse(runs, options_for());
    runs.pop_back();
    return std::pair{analysis.rows.at(0).seeds, texts_of(analysis, WarningKind::unfinished)};
  };
  for (const std::string status : {"running", "interrupted"}) {
    const auto [seeds, warnings] = runs_of_v(status, 10);
    CHECK(seeds == 3);
    CHECK(warnings == std::vector<std::string>{"`v` seed 3 at scale `default` is left out: it is not a finished run "
                                               "(status `" +
                                               status + "`)"});
  }
  CHECK(runs_of_v("diverged", 10).first == 4);
  for (Run& run : runs) {
    if (run.variant == "v") run.status = "running";
  }
  CHECK(runs_of_v("running", 60).first == 4);
}

TEST_CASE("runs that miss the target: one warning for a scale and axis, naming the arms that do so in part") {
  std::vector<Run> runs;
  for (int s = 0; s < 3; ++s) {
    const double luck = s == 0 ? 0.7 : 1.1;  // the baseline's first seed ends above the mean of the three
    runs.push_back(make_run("baseline", s, even_steps(60, 10), power_law(luck)));
    runs.push_back(make_run("partly", s, even_steps(60, 10), power_law(luck)));
    runs.push_back(make_run("faster", s, even_steps(60, 10), power_law(3 * luck)));
  }
  Options options = options_for();
  options.cost = CostAxis::steps;
  std::vector<std::string> texts;
  for (const Warning& warning : analyse(runs, options).warnings) {
    if (warning.kind == WarningKind::partly_reached && warning.cost == CostAxis::steps) texts.push_back(warning.text);
  }
  REQUIRE(texts.size() == 1);
  CHECK(texts[0].find("1 of 3 baseline runs, 1 of 3 of `partly` miss the target") != std::string::npos);
  CHECK(texts[0].find("faster") == std::string::npos);
}

TEST_CASE("a run without an evaluation after its start is left out with a warning; the others are compared") {
  std::vector<Run> runs;
  for (int s = 0; s < 2; ++s) {
    runs.push_back(make_run("baseline", s, even_steps(60, 10), power_law(1)));
    runs.push_back(make_run("v", s, even_steps(60, 10), power_law(2)));
  }
  runs.push_back(make_run("waiting", 0, {0.0}, power_law(1)));
  const Analysis analysis = analyse(runs, options_for());
  CHECK(analysis.rows.size() == analysis.costs.size());
  CHECK(texts_of(analysis, WarningKind::unfinished).at(0) ==
        "`waiting` seed 0 at scale `default` is left out: synthetic has no evaluation after its start");
  CHECK_THROWS_AS(analyse({runs.back()}, options_for()), Error);
  CHECK(input_error([&] { analyse(runs, options_for("waiting")); }) ==  // not: one of baseline, v
        "[--baseline] expected a run of `waiting` with an evaluation after its start, got none");
}
