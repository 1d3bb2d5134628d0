#include "tools/ceg/estimate/comparison.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/philox.h"

namespace isoloss::ceg {
namespace {

/// A resample of n with replacement has (n - 1)/n of the variance that n fresh draws would have.
Spread corrected(const std::vector<double>& replicates, int count) {
  const double n = count;
  return {variance(replicates) * n / (n - 1), n - 1};
}

}  // namespace

std::optional<Spread> Resamples::spread() const {
  if (seeds.empty() || seed_count < 2) return std::nullopt;
  const Spread over_seeds = corrected(seeds, seed_count);
  const auto over_blocks = block_spread();
  if (!over_blocks) return over_seeds;
  const Spread parts[] = {over_seeds, *over_blocks};
  return combined(parts);
}

std::optional<Spread> Resamples::block_spread() const {
  if (blocks.empty() || block_count < 2) return std::nullopt;
  return corrected(blocks, block_count);
}

Resamples weighted_sum(const std::vector<std::pair<double, const Resamples*>>& terms) {
  Resamples sum;
  const Resamples& first = *terms.front().second;
  const auto add = [&](std::vector<double> Resamples::*member) {
    std::vector<double> total((first.*member).size(), 0.0);
    for (const auto& [weight, term] : terms) {
      if ((term->*member).size() != total.size()) return std::vector<double>();
      for (std::size_t r = 0; r < total.size(); ++r) total[r] += weight * (term->*member)[r];
    }
    return total;
  };
  sum.seeds = add(&Resamples::seeds);
  sum.blocks = add(&Resamples::blocks);
  sum.seed_count = first.seed_count, sum.block_count = first.block_count;
  return sum;
}

std::optional<Bound> Crossings::bound() const {
  if (baseline_early == variant_early) return std::nullopt;
  return Bound{std::exp(log_ceg()), variant_early};
}

double final_target(const std::vector<const ReducedCurve*>& runs, std::optional<double> otherwise) {
  std::vector<double> ended, all;
  for (const ReducedCurve* run : runs) {
    all.push_back(run->final_loss);
    if (run->ended) ended.push_back(run->final_loss);
  }
  if (!ended.empty()) return mean(ended);
  return otherwise ? *otherwise : mean(all);
}

std::vector<bool> reached(const std::vector<const ReducedCurve*>& runs, double loss) {
  std::vector<bool> flags;
  for (const ReducedCurve* run : runs) flags.push_back(run->best() <= loss);
  return flags;
}

bool mostly(const std::vector<bool>& flags, int failed) {
  return 2 * std::count(flags.begin(), flags.end(), true) >= static_cast<std::ptrdiff_t>(flags.size()) + failed;
}

double target_for(const Options& options, const std::vector<const ReducedCurve*>& baseline) {
  if (!options.target) return final_target(baseline);
  if (mostly(reached(baseline, *options.target))) return *options.target;
  double loss = *options.target;
  for (const ReducedCurve* run : baseline) loss = std::max(loss, run->best());
  return loss;
}

Crossings crossings_at(const Sides& sides, double target) {
  Crossings result;
  const auto take = [&](std::size_t i, double loss, bool of_baseline) {
    const ReducedCurve& run = *(of_baseline ? sides.baseline : sides.variant)[i];
    (of_baseline ? result.baseline : result.variant).push_back(*log_crossing(run, loss));
    (of_baseline ? result.baseline_early : result.variant_early) |= run.starts_under(loss);
  };
  if (sides.paired) {
    for (std::size_t i = 0; i < sides.baseline.size(); ++i) {
      const double loss = std::max({target, sides.baseline[i]->best(), sides.variant[i]->best()});
      result.target.push_back(loss);
      take(i, loss, true), take(i, loss, false);
    }
    return result;
  }
  double loss = target;
  for (const auto* side : {&sides.baseline, &sides.variant}) {
    for (const ReducedCurve* run : *side) loss = std::max(loss, run->best());
  }
  result.target.push_back(loss);
  for (std::size_t i = 0; i < sides.baseline.size(); ++i) take(i, loss, true);
  for (std::size_t i = 0; i < sides.variant.size(); ++i) take(i, loss, false);
  return result;
}

std::optional<Spread> spread_at(const Sides& sides, const Crossings& crossings) {
  if (!sides.paired) return independent_spread(crossings.baseline, crossings.variant);
  std::vector<double> differences;
  for (std::size_t i = 0; i < crossings.baseline.size(); ++i) {
    differences.push_back(crossings.baseline[i] - crossings.variant[i]);
  }
  return paired_spread(differences);
}

std::vector<std::size_t> draw(std::uint64_t seed, std::uint64_t stream, std::size_t replicate, std::size_t count) {
  Philox random(mix(seed, stream), replicate);
  std::vector<std::size_t> items(count);
  for (std::size_t& item : items) item = random.below(count);
  return items;
}

}  // namespace isoloss::ceg
