// The result of the statistics: everything that any output prints. Pure data; `analyse` fills it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ceg/input/curves.h"

namespace isoloss::ceg {

enum class Method { interpolate, fit, paper };
std::string_view method_name(Method method);

struct Options {
  std::string baseline;  ///< name of the variant that everything is compared with
  Method method = Method::interpolate;
  std::optional<CostAxis> cost = CostAxis::steps;  ///< what the outputs show; nullopt: every axis that all arms carry
  std::optional<double> target;                    ///< loss in nats per token; nullopt: `final`
  double confidence = 0.95;
  int resamples = 2000;
  std::uint64_t seed = 0;  ///< of the bootstrap
};

enum class Status { reached, not_reached };
std::string_view status_name(Status status);  ///< "reached", "not_reached"

struct Interval {
  double low = 0, high = 0;  ///< finite, low <= high
};

/// One side of a ratio that is not known exactly. A curve that is at or under a loss at its first evaluation says no
/// more than that it got there by then.
struct Bound {
  double value = 0;
  bool at_least = false;  ///< else: at most
};
/// A CEG or another ratio with the same digits wherever people read it: "1.842", "12.34", "153.2", "1235"; "0.0512".
std::string ceg_text(double value);
std::string bound_text(const Bound& bound, std::string_view number);  ///< "at least 1.84"

/// One comparison of a variant's run with a baseline's run, or with the mean of the other side where a seed has no
/// partner.
struct SeedResult {
  std::optional<std::int64_t> baseline_seed, variant_seed;  ///< nullopt: the mean over that side's seeds stands in
  double target = 0;  ///< loss at which this pair is compared; above the row's target where one of the two missed it
  double baseline_cost = 0, variant_cost = 0;            ///< C(target) of each side, in the axis' unit
  double ceg = 0;                                        ///< baseline_cost / variant_cost
  bool baseline_reached = true, variant_reached = true;  ///< the row's own target
  bool baseline_early = false, variant_early = false;    ///< there by its first evaluation: its cost is at most this
  bool exact() const { return !baseline_early && !variant_early; }
};

/// The other direction: at the variant's own final loss, how much more would the baseline need?
struct Reverse {
  double target = 0;                ///< the variant's final loss
  Status status = Status::reached;  ///< not_reached: the baseline never gets there within its budget
  std::optional<double> ceg;        ///< reached, and at no curve's first evaluation
  std::optional<Interval> interval;
  std::optional<Bound> bound;  ///< without a ceg, where one is known
};

/// CEG of one variant at one scale on one cost axis.
struct Row {
  std::string variant, scale, variant_class;
  CostAxis cost = CostAxis::steps;
  bool a_a = false;              ///< the baseline against itself with other seeds
  std::optional<double> target;  ///< loss compared at; absent for `fit`, whose factor holds at every loss
  Status status = Status::reached;
  std::optional<double> ceg;         ///< reached, and at no curve's first evaluation
  std::optional<Interval> interval;  ///< of ceg; absent with `paper`, and where there are too few seeds
  int seeds = 0;                     ///< runs of the variant, those that failed among them
  int failed = 0;                    ///< of them, those that diverged before their loss fell: they miss every target
  int pairs = 0;                     ///< of the others, those with a baseline run of the same seed
  /// Without a ceg, where one is known. not_reached: at most the baseline's cost over all that the variant spent.
  std::optional<Bound> bound;
  std::optional<double> gap;        ///< not_reached: the variant's best loss minus target, nats
  std::optional<double> auxiliary;  ///< not_reached: CEG at the variant's own best loss
  std::string remark;               ///< what the numbers do not say: runs that failed, why there is no ceg; or ""
  std::optional<Interval> auxiliary_interval;
  std::optional<Reverse> reverse;    ///< `interpolate` only
  std::vector<SeedResult> per_seed;  ///< in order of seed; empty for `fit`
};

/// How far from 1 a comparison of the baseline with itself lands.
struct NoiseFloor {
  std::string scale;
  CostAxis cost = CostAxis::steps;
  std::optional<Interval> interval;  ///< absent with a single seed
  std::string source;                ///< in words: "A/A arm `baseline (A/A)`, 3 against 3 seeds"
};

/// CEG as a function of the target loss: one line of the threshold sweep.
struct ThresholdPoint {
  double target = 0, ceg = 0;
  std::optional<Interval> interval;
  int seeds = 0;  ///< of the variant's runs, those that reach this target
};
struct ThresholdSweep {
  std::string variant, scale;
  CostAxis cost = CostAxis::steps;
  std::vector<ThresholdPoint> points;  ///< falling target; only targets that every seed of both sides reaches
};

enum class Verdict { independent, dependent, undetermined };
std::string_view verdict_name(Verdict verdict);

/// ln CEG against ln compute over the scales.
struct ScaleFit {
  std::string variant;
  CostAxis cost = CostAxis::steps;
  struct Sample {
    std::string scale;
    double compute = 0;  ///< of the baseline's whole run: training FLOPs where known, else the axis' own unit
    double ceg = 0;
    std::optional<Interval> interval;
  };
  std::vector<Sample> samples;             ///< rising compute
  std::optional<double> slope, intercept;  ///< ln CEG = intercept + slope · ln compute; two scales or more
  std::optional<Interval> slope_interval;  ///< three scales or more
  std::optional<double> detectable_slope;  ///< smallest |slope| that would be found in 80 of 100 such experiments
  Verdict verdict = Verdict::undetermined;
  std::string reason;  ///< of the verdict, in words
};
/// |slope| below which CEG counts as independent of scale: 10 % of CEG per decade of compute.
inline constexpr double kIndependentSlope = 0.04139268515822508;  // ln 1.1 / ln 10

/// A combined variant beside the product of its parts.
struct Composition {
  std::string variant, scale;
  CostAxis cost = CostAxis::steps;
  double combined = 0;  ///< CEG of the combination
  double product = 0;   ///< product of the parts' CEG
  std::optional<Interval> product_interval;
  double interaction = 0;  ///< combined / product; above 1: the parts help each other
  std::optional<Interval> interaction_interval;
  struct Part {
    std::string name;
    double alone = 0;               ///< CEG of the part by itself
    std::optional<double> shapley;  ///< exp of its Shapley value of ln CEG; their product is `combined`
    std::optional<Interval> shapley_interval;
  };
  std::vector<Part> parts;
  std::vector<std::string> missing;  ///< combinations of parts that were not run: "layernorm + rope"
};

/// Parameters of L = E + A (k_v C)^-alpha, shared by all variants of a scale but for k_v = CEG (`fit` only).
struct ScaleLaw {
  std::string scale;
  CostAxis cost = CostAxis::steps;
  double e = 0, a = 0, alpha = 0;
  double residual = 0;   ///< root mean square of ln(measured / fitted)
  double worst = 0;      ///< largest |ln(measured / fitted)|
  int points = 0;        ///< evaluations that took part
  double from_cost = 0;  ///< smallest cost that took part
};

/// A CEG that somebody else published, printed beside ours.
struct Published {
  std::string innovation;             ///< "LayerNorm vs none"
  std::vector<std::string> variants;  ///< names of variants it is shown with, lower case: "layernorm"
  std::string setting;                ///< "compact", "full", "64 wide"
  std::optional<double> ceg;          ///< absent: not reached
  std::optional<double> auxiliary;    ///< where not reached
  std::string source;                 ///< "arXiv 2505.04075v2"
  std::string flag;                   ///< what to know about it: "curve edited by its authors"; "" when nothing
};
const std::vector<Published>& published_values();
/// Those that belong beside `variant` (compared in lower case; "-", "_" and blanks do not count).
std::vector<Published> published_for(std::string_view variant);

enum class WarningKind {
  identical_curves,
  rising_baseline,
  unequal_evaluation,
  unequal_runs,
  repeated_losses,
  gaps,
  record,
  unpaired_seeds,
  few_seeds,
  hardware,
  unfinished,
  noise_floor,
  poor_fit,
  partly_reached,
  missing
};
struct Warning {
  WarningKind kind = WarningKind::missing;
  std::optional<CostAxis> cost;  ///< the only axis it concerns, or nullopt
  std::string text;              ///< one line, names in it unescaped
};

/// The reduced curve that crossings were read from, for plots: the run's points with cost > 0.
struct Curve {
  std::size_t run = 0;  ///< index into Analysis::runs
  CostAxis cost = CostAxis::steps;
  std::vector<double> cost_values, loss, running_minimum;
};

struct Analysis {
  Options options;
  std::vector<CostAxis> costs;          ///< axes that were analysed: all that every arm carries (`paper`: steps only)
  std::vector<std::string> scales;      ///< in order of the baseline's compute
  std::vector<std::string> variants;    ///< baseline first, then in order of appearance, A/A last
  std::vector<Row> rows;                ///< ordered by cost, scale, variant; the baseline itself has none
  std::vector<NoiseFloor> noise_floor;  ///< per cost and scale
  std::vector<ThresholdSweep> thresholds;  ///< per cost, scale, variant; `interpolate` only
  std::vector<ScaleFit> scale_fits;        ///< per cost and variant
  std::vector<Composition> compositions;   ///< per cost, scale and combined variant
  std::vector<ScaleLaw> laws;              ///< `fit` only
  std::vector<Warning> warnings;
  std::vector<Run> runs;      ///< as read
  std::vector<Curve> curves;  ///< per cost and run

  bool shows(CostAxis cost) const { return !options.cost || *options.cost == cost; }
  bool shows(const Warning& warning) const { return !warning.cost || shows(*warning.cost); }
};

/// Compares every variant with the baseline at every scale. All axes that the runs carry are analysed; `options.cost`
/// only says what the outputs show. Throws (exit 2): unknown baseline (names those present), a cost asked for by name
/// that a run lacks, no other variant to compare.
Analysis analyse(std::vector<Run> runs, const Options& options);

}  // namespace isoloss::ceg
