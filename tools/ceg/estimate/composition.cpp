// A combined variant beside the product of its parts, and each part's Shapley value of ln CEG.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>

#include "tools/ceg/estimate/derived.h"

namespace isoloss::ceg {
namespace {

constexpr std::size_t kMostParts = 10;  ///< beyond, the 2^parts combinations are neither looked up nor listed
constexpr std::size_t kMostListed = 12;

using Terms = std::vector<std::pair<double, const Estimate*>>;

double value_of(const Terms& terms) {
  double sum = 0;
  for (const auto& [weight, estimate] : terms) sum += weight * estimate->log_ceg;
  return sum;
}

std::optional<Interval> interval_of(const Terms& terms, double confidence) {
  std::vector<std::pair<double, const Resamples*>> resamples;
  for (const auto& [weight, estimate] : terms) resamples.emplace_back(weight, &estimate->resamples);
  return ratio_interval(value_of(terms), weighted_sum(resamples).spread(), confidence);
}

/// Estimates of one scale and axis by the set of parts that a variant combines; a plain variant is its own only part.
using BySet = std::map<std::set<std::string>, const Estimate*>;

BySet reached_sets(const Context& context, const ScaleGroup& group, const Estimated& all, CostAxis cost) {
  BySet sets;
  for (const Arm& arm : group.arms) {
    if (arm.a_a) continue;
    const auto& parts = context.runs[arm.any_run()].parts;
    std::set<std::string> key(parts.begin(), parts.end());
    if (key.size() < 2) key = {arm.variant};  // one part alone combines nothing, whatever it is called
    for (std::size_t i = 0; i < all.rows.size(); ++i) {
      const Row& row = all.rows[i];
      if (row.variant == arm.variant && row.scale == group.name && row.cost == cost && row.ceg) {
        sets.emplace(std::move(key), &all.estimates[i]);
        break;
      }
    }
  }
  return sets;
}

std::set<std::string> subset(const std::vector<std::string>& parts, std::uint32_t mask) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (mask >> i & 1) names.insert(parts[i]);
  }
  return names;
}

/// Shapley value of part `index`: the mean over all orders of joining of what it adds to ln CEG.
/// Source: Shapley, "A value for n-person games", 1953.
Terms shapley_terms(const std::vector<std::string>& parts, std::size_t index, const BySet& sets) {
  Terms terms;
  const double n = static_cast<double>(parts.size());
  for (std::uint32_t mask = 1; mask < 1u << parts.size(); ++mask) {
    const bool with = mask >> index & 1;
    const double others = std::popcount(mask) - (with ? 1 : 0);
    const double weight = std::exp(std::lgamma(others + 1) + std::lgamma(n - others) - std::lgamma(n + 1));
    terms.emplace_back(with ? weight : -weight, sets.at(subset(parts, mask)));
  }
  return terms;
}

void add_shapley(Composition& result, const std::vector<std::string>& parts, const BySet& sets, double confidence) {
  if (parts.size() > kMostParts) {
    result.missing.push_back(fmt::format("more than {} parts", kMostParts));
    return;
  }
  std::size_t absent = 0;
  for (std::uint32_t mask = 1; mask < 1u << parts.size(); ++mask) {
    const auto names = subset(parts, mask);
    if (sets.count(names) == 0 && ++absent <= kMostListed)
      result.missing.push_back(fmt::format("{}", fmt::join(names, " + ")));
  }
  if (absent > kMostListed) result.missing.push_back(fmt::format("{} more", absent - kMostListed));
  if (absent > 0) return;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Terms terms = shapley_terms(parts, i, sets);
    result.parts[i].shapley = std::exp(value_of(terms));
    result.parts[i].shapley_interval = interval_of(terms, confidence);
  }
}

}  // namespace

std::vector<Composition> compositions(const Context& context, const ScaleGroup& group, const Estimated& all,
                                      std::vector<Warning>& warnings) {
  std::vector<Composition> results;
  for (const CostAxis cost : context.costs) {
    const BySet sets = reached_sets(context, group, all, cost);
    for (const Arm& arm : group.arms) {
      const auto& listed = context.runs[arm.any_run()].parts;
      const std::set<std::string> unique(listed.begin(), listed.end());
      if (unique.size() < 2) continue;
      const std::vector<std::string> parts(unique.begin(), unique.end());
      std::vector<std::string> absent;
      for (const std::string& part : parts) {
        if (sets.count({part}) == 0) absent.push_back(part);
      }
      if (sets.count(unique) == 0) absent.push_back(arm.variant);
      if (!absent.empty()) {
        warnings.push_back({WarningKind::missing, cost,
                            fmt::format("no composition of `{}` at scale `{}` on {}: without a CEG of {}", arm.variant,
                                        group.name, cost_name(cost), fmt::join(absent, ", "))});
        continue;
      }
      Composition result;
      result.variant = arm.variant, result.scale = group.name, result.cost = cost;
      const Estimate* combined = sets.at(unique);
      Terms product, interaction{{1.0, combined}};
      for (const std::string& part : parts) {
        const Estimate* alone = sets.at({part});
        product.emplace_back(1.0, alone), interaction.emplace_back(-1.0, alone);
        result.parts.push_back({part, std::exp(alone->log_ceg), std::nullopt, std::nullopt});
      }
      const double confidence = context.options.confidence;
      result.combined = std::exp(combined->log_ceg);
      result.product = std::exp(value_of(product));
      result.product_interval = interval_of(product, confidence);
      result.interaction = std::exp(value_of(interaction));
      result.interaction_interval = interval_of(interaction, confidence);
      add_shapley(result, parts, sets, confidence);
      results.push_back(std::move(result));
    }
  }
  return results;
}

}  // namespace isoloss::ceg
