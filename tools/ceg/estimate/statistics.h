// The few distributions and moments that the intervals need.
#pragma once

#include <optional>
#include <span>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg {

double mean(std::span<const double> values);
/// Sample variance (divisor n - 1); 0 for fewer than two values.
double variance(std::span<const double> values);
double median(std::span<const double> values);

/// P(T <= t) for Student's t with `df` > 0 degrees of freedom, df not necessarily whole.
/// Source: Abramowitz and Stegun, 26.7.1 and 26.5.8 (incomplete beta function by continued fraction).
double student_t_cdf(double t, double df);
/// The t with P(T <= t) = p, 0 < p < 1.
double student_t_quantile(double p, double df);

/// A squared standard error and the degrees of freedom it was estimated with.
struct Spread {
  double variance = 0, df = 1;
};

/// The squared standard error of a sum of independent parts, with the degrees of freedom that match its second moment.
/// Source: Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics 2 (1946).
Spread combined(std::span<const Spread> parts);

/// Of mean(differences), from the differences of n >= 2 pairs.
std::optional<Spread> paired_spread(std::span<const double> differences);
/// Of mean(a) - mean(b) for independent a and b (Welch, Biometrika 34, 1947). Where one side has a single value its
/// variance is taken to be that of the other (Crawford and Howell, The Clinical Neuropsychologist 12, 1998).
std::optional<Spread> independent_spread(std::span<const double> a, std::span<const double> b);

/// exp(log_value ± t · standard error): an interval for a ratio. Absent where an end is beyond what a double holds.
std::optional<Interval> ratio_interval(double log_value, const std::optional<Spread>& spread, double confidence);

}  // namespace isoloss::ceg
