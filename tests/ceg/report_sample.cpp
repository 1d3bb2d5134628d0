#include "tests/ceg/report_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace isoloss::test {
namespace {

constexpr double kFloorLoss = 1.55;
constexpr double kHeight = 9.0;
constexpr double kSlope = 0.34;

double curve_loss(double tokens, double gain, double extra) {
  return kFloorLoss + extra + kHeight * std::pow(gain * tokens / 1000, -kSlope);
}
double curve_tokens(double loss, double gain, double extra) {
  return 1000 / gain * std::pow((loss - kFloorLoss - extra) / kHeight, -1 / kSlope);
}

/// Repeatable numbers in [-1, 1) that need not be good.
double wiggle(std::size_t a, std::size_t b) {
  const double value =
      std::sin(12.9898 * static_cast<double>(a + 1) + 78.233 * static_cast<double>(b + 1)) * 43758.5453;
  return 2 * (value - std::floor(value)) - 1;
}

struct Arm {
  std::string variant, variant_class;
  double gain = 1, extra = 0;
  std::vector<std::string> parts;
};

Run make_run(const Arm& arm, std::size_t arm_number, const std::string& scale, std::size_t scale_number, int seed,
             const SampleOptions& options) {
  Run run;
  run.variant = arm.variant;
  run.scale = scale;
  run.variant_class = arm.variant_class;
  run.seed = seed;
  run.parts = arm.parts;
  run.status = "finished";
  run.hardware = "AMD EPYC 7B13, 2 threads";
  run.source = fmt::format("runs/suite/{}/{}/seed_{}", scale, arm_number, seed);
  run.manifest = fmt::format(
      "{{\n  \"status\": \"finished\",\n  \"seed\": {},\n  \"sweep\": {{\"scale\": \"{}\"}}\n}}\n", seed, scale);
  const double budget = 2.4e6 * std::pow(6.0, static_cast<double>(scale_number));
  const double flops_per_token = 3.3e6 * std::pow(5.0, static_cast<double>(scale_number));
  for (int i = 0; i <= options.evaluations; ++i) {
    const double tokens = budget * i / options.evaluations;
    const double steps = tokens / 4096;
    const double noise = 0.006 * wiggle(arm_number * 17 + static_cast<std::size_t>(seed), static_cast<std::size_t>(i)) +
                         0.008 * wiggle(arm_number + 3 * scale_number, static_cast<std::size_t>(seed));
    Point point;
    point.cost = {std::round(steps), tokens,      tokens * flops_per_token, tokens * flops_per_token * 0.92,
                  tokens / 9500,     std::nullopt};
    point.val_loss = i == 0 ? 8.31 : curve_loss(tokens, arm.gain, arm.extra) + noise;
    run.points.push_back(point);
  }
  return run;
}

Interval around(double value, double half) { return {value * std::exp(-half), value * std::exp(half)}; }

}  // namespace

std::vector<SampleVariant> sample_variants() {
  return {
      {"layernorm", "compute-independent", 1.84, -0.26, true, {}},
      {"rope", "compute-independent", 1.37, -0.04, true, {}},
      {"flash", "systems", 1.02, 0, true, {}},
      {"multi-query", "compute-dependent", 0.86, -0.3, false, {}},
      {"swiglu with a hidden width of eight thirds and no bias anywhere", "compute-independent", 1.14, 0.03, true, {}},
      {"<script>alert('x')</script>", "", 0.93, 0.01, true, {}},
      {"all", "compute-independent", 2.71, -0.21, true, {"layernorm", "rope"}}};
}

Analysis sample_analysis(const std::vector<SampleVariant>& variants, const SampleOptions& options) {
  Analysis analysis;
  analysis.options.baseline = "baseline";
  analysis.options.cost = std::nullopt;
  analysis.costs = options.costs;
  analysis.scales = options.scales;
  analysis.warnings = options.warnings;
  analysis.variants = {"baseline"};
  for (const SampleVariant& variant : variants) analysis.variants.push_back(variant.name);
  analysis.variants.push_back("baseline (A/A)");

  for (std::size_t scale = 0; scale < options.scales.size(); ++scale) {
    const bool last_scale = scale + 1 == options.scales.size();
    const double budget = 2.4e6 * std::pow(6.0, static_cast<double>(scale));
    const double target = curve_loss(0.95 * budget, 1, 0);
    std::vector<Arm> arms{{"baseline", "baseline", 1, 0, {}}};
    for (const SampleVariant& variant : variants) {
      const double gain = variant.gain * std::exp(variant.drift * static_cast<double>(scale));
      arms.push_back(
          {variant.name, variant.variant_class, gain, !variant.reaches && last_scale ? 0.09 : 0, variant.parts});
    }
    arms.push_back({"baseline (A/A)", "baseline", 1.012, 0, {}});
    for (std::size_t arm = 0; arm < arms.size(); ++arm) {
      for (int seed = 1; seed <= options.seeds; ++seed) {
        const Run run = make_run(arms[arm], arm, options.scales[scale], scale, seed, options);
        for (const CostAxis cost : options.costs) {
          Curve curve;
          curve.run = analysis.runs.size();
          curve.cost = cost;
          double best = run.points.front().val_loss;
          for (const Point& point : run.points) {
            const double spent = point.cost[static_cast<std::size_t>(cost)].value_or(0);
            best = std::min(best, point.val_loss);
            if (spent <= 0) continue;
            curve.cost_values.push_back(spent);
            curve.loss.push_back(point.val_loss);
            curve.running_minimum.push_back(best);
          }
          analysis.curves.push_back(std::move(curve));
        }
        analysis.runs.push_back(run);
      }
    }
    for (const CostAxis cost : options.costs) {
      const auto& ends = analysis.runs.back().points.back().cost;
      const double per_token = *ends[static_cast<std::size_t>(cost)] / budget;
      NoiseFloor floor{options.scales[scale], cost, std::nullopt, "A/A arm `baseline (A/A)`, 3 against 3 seeds"};
      if (options.intervals) floor.interval = around(1.01, 0.05);
      analysis.noise_floor.push_back(floor);
      for (std::size_t number = 1; number < arms.size(); ++number) {
        const Arm& arm = arms[number];
        Row row;
        row.variant = arm.variant;
        row.scale = options.scales[scale];
        row.variant_class = arm.variant_class;
        row.cost = cost;
        row.a_a = arm.variant_class == "baseline";
        row.target = target;
        row.seeds = row.pairs = options.seeds;
        const bool reached = arm.extra == 0;
        const double level = reached ? target : curve_loss(budget, arm.gain, arm.extra);
        const double ceg = curve_tokens(level, 1, 0) / curve_tokens(level, arm.gain, arm.extra);
        const double half = 0.05 + 0.02 * std::abs(wiggle(number, scale));
        row.status = reached ? Status::reached : Status::not_reached;
        (reached ? row.ceg : row.auxiliary) = ceg;
        if (options.intervals) (reached ? row.interval : row.auxiliary_interval) = around(ceg, half);
        if (!reached) {
          row.bound = Bound{0.95, false};
          row.gap = level - target;
        }
        row.reverse = Reverse{target - 0.04, ceg > 1 ? Status::not_reached : Status::reached, std::nullopt,
                              std::nullopt, std::nullopt};
        if (ceg > 1) row.reverse->bound = Bound{ceg * 0.97, true};
        if (ceg <= 1) row.reverse->ceg = ceg * 0.97;
        for (int seed = 1; seed <= options.seeds; ++seed) {
          SeedResult result;
          result.baseline_seed = result.variant_seed = seed;
          result.target = level;
          const double spread = 0.03 * wiggle(number, static_cast<std::size_t>(seed));
          result.baseline_cost = curve_tokens(level, 1, 0) * per_token * std::exp(spread);
          result.variant_cost = curve_tokens(level, arm.gain, arm.extra) * per_token * std::exp(-spread / 2);
          result.ceg = result.baseline_cost / result.variant_cost;
          result.variant_reached = reached;
          row.per_seed.push_back(result);
        }
        ThresholdSweep sweep{arm.variant, row.scale, cost, {}};
        const double easiest = curve_loss(budget / 20, 1, 0);
        for (int i = 0; i < 20; ++i) {
          const double at = easiest + (level - easiest) * i / 19;
          const double here = curve_tokens(at, 1, 0) / curve_tokens(at, arm.gain, arm.extra);
          sweep.points.push_back({at, here, around(here, half * (1.6 - 0.03 * i)), options.seeds});
        }
        analysis.thresholds.push_back(std::move(sweep));
        analysis.rows.push_back(std::move(row));
      }
    }
  }
  for (const CostAxis cost : options.costs) {
    for (const std::string& variant : analysis.variants) {
      ScaleFit fit;
      fit.variant = variant;
      fit.cost = cost;
      for (std::size_t scale = 0; scale < options.scales.size(); ++scale) {
        for (const Row& row : analysis.rows) {
          if (row.cost == cost && row.variant == variant && row.scale == options.scales[scale] && row.ceg) {
            fit.samples.push_back(
                {row.scale, 1e13 * std::pow(30.0, static_cast<double>(scale)), *row.ceg, row.interval});
          }
        }
      }
      if (fit.samples.empty() || variant == "baseline (A/A)") continue;
      if (fit.samples.size() >= 2) {
        const auto& first = fit.samples.front();
        const auto& last = fit.samples.back();
        fit.slope = std::log(last.ceg / first.ceg) / std::log(last.compute / first.compute);
        fit.intercept = std::log(first.ceg) - *fit.slope * std::log(first.compute);
      }
      if (fit.samples.size() >= 3) {
        fit.slope_interval = Interval{*fit.slope - 0.03, *fit.slope + 0.03};
        fit.detectable_slope = 0.042;
        fit.verdict = std::abs(*fit.slope) > 0.03 ? Verdict::dependent : Verdict::independent;
        fit.reason = "the interval of the slope against ten percent of CEG a decade";
      } else {
        fit.reason = fmt::format("{} of the three scales that an interval needs", fit.samples.size());
      }
      analysis.scale_fits.push_back(std::move(fit));
    }
    for (const std::string& scale : options.scales) {
      Composition composition;
      composition.variant = "all";
      composition.scale = scale;
      composition.cost = cost;
      composition.combined = 2.71;
      composition.product = 2.52;
      composition.product_interval = around(2.52, 0.08);
      composition.interaction = 2.71 / 2.52;
      composition.interaction_interval = around(2.71 / 2.52, 0.1);
      composition.parts = {{"layernorm", 1.84, 1.91, around(1.91, 0.07)}, {"rope", 1.37, 1.42, around(1.42, 0.06)}};
      if (scale == options.scales.back()) {
        for (auto& part : composition.parts) part.shapley = std::nullopt, part.shapley_interval = std::nullopt;
        composition.missing = {"layernorm + rope"};
      }
      analysis.compositions.push_back(std::move(composition));
    }
  }
  return analysis;
}

}  // namespace isoloss::test
