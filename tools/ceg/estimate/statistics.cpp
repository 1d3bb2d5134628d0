#include "tools/ceg/estimate/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace isoloss::ceg {

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double variance(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double centre = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - centre) * (value - centre);
  return sum / static_cast<double>(values.size() - 1);
}

double median(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[half] : 0.5 * (sorted[half - 1] + sorted[half]);
}

namespace {

/// The continued fraction of the incomplete beta function, by Lentz's method.
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto guarded = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / guarded(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m <= 10000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guarded(1 + even * d), c = guarded(1 + even / c), value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guarded(1 + odd * d), c = guarded(1 + odd / c);
    const double step = d * c;
    value *= step;
    if (std::abs(step - 1) < 1e-15) break;
  }
  return value;
}

double regularised_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double student_t_cdf(double t, double df) {
  const double tail = 0.5 * regularised_beta(0.5 * df, 0.5, df / (df + t * t));
  return t > 0 ? 1 - tail : tail;
}

double student_t_quantile(double p, double df) {
  if (p < 0.5) return -student_t_quantile(1 - p, df);
  double low = 0, high = 1;
  while (student_t_cdf(high, df) < p && high < 1e12) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-14 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (student_t_cdf(middle, df) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

Spread combined(std::span<const Spread> parts) {
  double total = 0, fourth = 0;
  for (const Spread& part : parts) total += part.variance, fourth += part.variance * part.variance / part.df;
  if (total == 0) {
    double df = 0;
    for (const Spread& part : parts) df += part.df;
    return {0, std::max(df, 1.0)};
  }
  return {total, total * total / fourth};
}

std::optional<Spread> paired_spread(std::span<const double> differences) {
  if (differences.size() < 2) return std::nullopt;
  const double n = static_cast<double>(differences.size());
  return Spread{variance(differences) / n, n - 1};
}

std::optional<Spread> independent_spread(std::span<const double> a, std::span<const double> b) {
  const double n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  if (a.size() < 2 && b.size() < 2) return std::nullopt;
  if (a.size() < 2) return Spread{variance(b) * (1 + 1 / m), m - 1};
  if (b.size() < 2) return Spread{variance(a) * (1 + 1 / n), n - 1};
  const Spread parts[] = {{variance(a) / n, n - 1}, {variance(b) / m, m - 1}};
  return combined(parts);
}

std::optional<Interval> ratio_interval(double log_value, const std::optional<Spread>& spread, double confidence) {
  if (!spread) return std::nullopt;
  const double reach = student_t_quantile(0.5 + 0.5 * confidence, spread->df) * std::sqrt(spread->variance);
  const Interval interval{std::exp(log_value - reach), std::exp(log_value + reach)};
  if (!std::isfinite(interval.high) || !(interval.low > 0)) return std::nullopt;
  return interval;
}

}  // namespace isoloss::ceg
