// `--method fit`: one law of loss against compute for all variants of a scale, L = E + A (k_v C)^-alpha, in which only
// the factor k_v differs. A variant with factor k reaches every loss with 1/k of the baseline's compute: CEG = k.
// The loss function (Huber on the residual of ln L, delta 1e-3), the log-sum-exp form and the grid of starts follow
// Hoffmann et al., "Training compute-optimal large language models", 2022, appendix D.2.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/base/error.h"
#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"
#include "tools/ceg/estimate/lbfgs.h"
#include "tools/ceg/estimate/methods.h"

namespace isoloss::ceg {
namespace {

constexpr double kHuber = 1e-3;
constexpr double kFromShare =
    0.1;  ///< evaluations in the first tenth of a run's cost take no part: warm-up is no power law
constexpr std::size_t kMostRefits = 200;  ///< of the bootstrap; their spread is then known to 5 %

struct Sample {
  double log_cost, log_loss;
  std::size_t arm;  ///< 0: the baseline
  std::size_t run;  ///< index into Context::runs
};

/// Parameters in the order: ln E, ln A (at the centre of the costs), alpha, ln k of arm 1, 2, …
constexpr std::size_t kShared = 3;

double log_add(double a, double b) {
  const double larger = std::max(a, b);
  return larger + std::log1p(std::exp(std::min(a, b) - larger));
}

/// The mean Huber loss of ln(fitted / measured), in units of delta squared, each run counting weights[run] times.
double objective(const std::vector<Sample>& samples, const std::vector<double>& weights, const std::vector<double>& x,
                 std::vector<double>& gradient) {
  std::fill(gradient.begin(), gradient.end(), 0.0);
  double total = 0, count = 0;
  for (const Sample& sample : samples) {
    const double weight = weights[sample.run];
    if (weight == 0) continue;
    const double moved = sample.log_cost + (sample.arm == 0 ? 0 : x[kShared + sample.arm - 1]);
    const double power = x[1] - x[2] * moved, fitted = log_add(x[0], power);
    const double residual = fitted - sample.log_loss, size = std::abs(residual);
    total += weight * (size <= kHuber ? 0.5 * residual * residual : kHuber * (size - 0.5 * kHuber));
    count += weight;
    const double slope = weight * std::clamp(residual, -kHuber, kHuber), share = std::exp(power - fitted);
    gradient[0] += slope * (1 - share);
    gradient[1] += slope * share;
    gradient[2] -= slope * share * moved;
    if (sample.arm > 0) gradient[kShared + sample.arm - 1] -= slope * share * x[2];
  }
  const double scale = 1 / (count * kHuber * kHuber);
  for (double& value : gradient) value *= scale;
  return total * scale;
}

class Problem {
 public:
  Problem(const Context& context, const ScaleGroup& group, std::size_t cost);
  Minimum solve() const;
  Minimum solve_again(const Minimum& from, const std::vector<double>& weights) const {
    return descend(from.x, weights, 200);
  }
  ScaleLaw law(const Minimum& solution) const;
  /// By how much ln L of the law falls over all costs that took part.
  double fall(const ScaleLaw& law) const {
    const auto log_loss = [&](double log_cost) { return std::log(law.e + law.a * std::exp(-law.alpha * log_cost)); };
    return log_loss(from_) - log_loss(to_);
  }
  std::size_t runs() const { return runs_; }

 private:
  Minimum descend(std::vector<double> start, const std::vector<double>& weights, int iterations) const {
    const auto function = [&](const std::vector<double>& x, std::vector<double>& gradient) {
      return objective(samples_, weights, x, gradient);
    };
    return minimise(function, std::move(start), iterations, 1e-10);
  }
  std::vector<Sample> samples_;
  std::size_t arms_, runs_;
  double centre_ = 0, from_ = INFINITY, to_ = -INFINITY, lowest_ = INFINITY;
};

Problem::Problem(const Context& context, const ScaleGroup& group, std::size_t cost)
    : arms_(group.arms.size()), runs_(context.runs.size()) {
  for (std::size_t a = 0; a <= arms_; ++a) {
    for (const std::size_t run : (a == 0 ? group.baseline : group.arms[a - 1]).runs) {
      const ReducedCurve& curve = context.reduced[cost][run];
      for (std::size_t i = 0; i < curve.loss.size(); ++i) {
        if (curve.log_cost[i] < curve.last_log_cost() + std::log(kFromShare) - 1e-9) continue;
        if (!(curve.loss[i] > 0)) {
          fail_input(context.runs[run].source.string(), "losses above 0 for --method fit",
                     fmt::format("{}", curve.loss[i]));
        }
        samples_.push_back({curve.log_cost[i], std::log(curve.loss[i]), a, run});
        from_ = std::min(from_, curve.log_cost[i]), to_ = std::max(to_, curve.log_cost[i]),
        lowest_ = std::min(lowest_, samples_.back().log_loss);
        centre_ += curve.log_cost[i];
      }
    }
  }
  if (samples_.size() < kShared + arms_ + 1) {
    fail_input("--method fit",
               fmt::format("more than {} evaluations after the first tenth of the runs of scale `{}`", kShared + arms_,
                           group.name),
               fmt::format("{}", samples_.size()));
  }
  centre_ /= static_cast<double>(samples_.size());
  for (Sample& sample : samples_) sample.log_cost -= centre_;
}

Minimum Problem::solve() const {
  const std::vector<double> once(runs_, 1.0);
  Minimum best;
  best.value = INFINITY;
  double middle = 0;
  for (const Sample& sample : samples_) middle += std::exp(sample.log_loss);
  middle /= static_cast<double>(samples_.size());
  for (const double share : {0.3, 0.6, 0.9}) {
    for (const double alpha : {0.1, 0.3, 0.6, 1.2}) {
      const double e = share * std::exp(lowest_);
      std::vector<double> start(kShared + arms_, 0.0);
      start[0] = std::log(e), start[1] = std::log(middle - e), start[2] = alpha;
      Minimum found = descend(std::move(start), once, 1000);
      if (found.value < best.value) best = std::move(found);
    }
  }
  return best;
}

ScaleLaw Problem::law(const Minimum& solution) const {
  ScaleLaw law;
  law.e = std::exp(solution.x[0]), law.alpha = solution.x[2];
  law.a = std::exp(solution.x[1] + law.alpha * centre_);
  law.points = static_cast<int>(samples_.size()), law.from_cost = std::exp(from_);
  for (const Sample& sample : samples_) {
    const double factor = sample.arm == 0 ? 0 : solution.x[kShared + sample.arm - 1];
    const double residual =
        log_add(solution.x[0], solution.x[1] - law.alpha * (sample.log_cost + factor)) - sample.log_loss;
    law.residual += residual * residual, law.worst = std::max(law.worst, std::abs(residual));
  }
  law.residual = std::sqrt(law.residual / static_cast<double>(samples_.size()));
  return law;
}

/// How often each run counts in replicate r: arms with the baseline's seeds draw the same seeds, others their own.
std::vector<double> resampled_weights(const Context& context, const ScaleGroup& group, std::size_t replicate) {
  std::vector<double> weights(context.runs.size(), 0.0);
  const std::uint64_t stream = hash_name(group.name);
  const auto add = [&](const Arm& arm, std::uint64_t key) {
    for (const std::size_t i : draw(context.options.seed, key, replicate, arm.runs.size())) weights[arm.runs[i]] += 1;
  };
  add(group.baseline, stream);
  for (const Arm& arm : group.arms) {
    add(arm, fully_paired(group.baseline, arm) ? stream : mix(stream, hash_name(arm.variant)));
  }
  return weights;
}

/// Solutions under resampled seeds: [replicate]. Equal resamples, frequent with few seeds, are fitted once.
std::vector<std::vector<double>> refits(const Context& context, const ScaleGroup& group, const Problem& problem,
                                        const Minimum& solution) {
  std::map<std::vector<double>, std::size_t> index;
  std::vector<std::vector<double>> distinct;
  std::vector<std::size_t> taken;
  for (int r = 0; r < context.options.resamples; ++r) {
    auto weights = resampled_weights(context, group, static_cast<std::size_t>(r));
    const auto [entry, fresh] = index.try_emplace(weights, distinct.size());
    if (fresh) {
      if (distinct.size() == kMostRefits) break;
      distinct.push_back(std::move(weights));
    }
    taken.push_back(entry->second);
  }
  std::vector<std::vector<double>> solved(distinct.size());
  parallel_tasks(static_cast<std::int64_t>(distinct.size()), [&](std::int64_t task) {
    const auto k = static_cast<std::size_t>(task);
    solved[k] = problem.solve_again(solution, distinct[k]).x;
  });
  std::vector<std::vector<double>> replicates;
  for (const std::size_t k : taken) replicates.push_back(solved[k]);
  return replicates;
}

/// Degrees of freedom come from the smaller side; sides that are no partners are resampled apart, each with its own
/// small-sample factor, of which the larger is taken.
Estimate estimate(const Arm& baseline, const Arm& arm, double log_ceg, std::vector<double> replicates) {
  Estimate found;
  found.log_ceg = log_ceg;
  const std::size_t n = std::min(baseline.runs.size(), arm.runs.size());
  found.resamples.seeds = std::move(replicates);
  found.resamples.seed_count = static_cast<int>(n);
  found.spread = found.resamples.spread();
  if (!fully_paired(baseline, arm)) found.resamples = {};
  return found;
}

}  // namespace

Comparisons fit(const Context& context, const ScaleGroup& group) {
  Comparisons result;
  for (std::size_t c = 0; c < context.costs.size(); ++c) {
    const Problem problem(context, group, c);
    const Minimum solution = problem.solve();
    const auto replicates = refits(context, group, problem, solution);
    ScaleLaw law = problem.law(solution);
    law.scale = group.name, law.cost = context.costs[c];
    // A residual of one percent of the loss is already worth several percent of compute on a curve this flat.
    if (law.residual > 0.01 || !(law.alpha > 0)) {
      result.warnings.push_back(
          {WarningKind::poor_fit, law.cost,
           fmt::format(
               "the law fits scale `{}` on {} poorly: residuals of {:.2f} % of the loss (worst {:.2f} %), alpha {:.3g}",
               group.name, cost_name(law.cost), 100 * law.residual, 100 * law.worst, law.alpha)});
    }
    // On a curve that does not fall a factor of compute moves nothing, so that any factor fits as well.
    const bool falls = problem.fall(law) > kHuber;
    result.laws.push_back(law);
    for (std::size_t a = 0; a < group.arms.size(); ++a) {
      Row row = named_row(group, group.arms[a], context.costs[c]);
      if (group.arms[a].runs.empty()) {
        result.rows.push_back(std::move(row));
        result.estimates.emplace_back();
        continue;
      }
      std::vector<double> factors;
      for (const auto& x : replicates) factors.push_back(x[kShared + a]);
      Estimate found = estimate(group.baseline, group.arms[a], solution.x[kShared + a], std::move(factors));
      if (const double ceg = std::exp(found.log_ceg); falls && std::isfinite(ceg) && ceg > 0) {
        const auto interval = ratio_interval(found.log_ceg, found.spread, context.options.confidence);
        if (2 * row.failed <= row.seeds) {
          row.ceg = ceg, row.interval = interval;
        } else {  // what the others follow is not what this variant does
          row.status = Status::not_reached;
          row.auxiliary = ceg, row.auxiliary_interval = interval;
        }
      } else {
        result.warnings.push_back({WarningKind::poor_fit, law.cost,
                                   fmt::format("scale `{}` on {}: the factor of `{}` is not determined by its curve",
                                               group.name, cost_name(law.cost), row.variant)});
      }
      result.rows.push_back(std::move(row));
      result.estimates.push_back(std::move(found));
    }
  }
  return result;
}

}  // namespace isoloss::ceg
