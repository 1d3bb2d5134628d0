#include "tools/ceg/estimate/statistics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/philox.h"
#include "tools/ceg/estimate/lbfgs.h"

using namespace isoloss;
using namespace isoloss::ceg;

TEST_CASE("quantiles of Student's t agree with printed tables") {
  // Values to four digits from the usual tables (two-sided 95 %: p = 0.975), so half a unit of the last digit.
  const std::pair<double, double> table[] = {{1, 12.7062}, {2, 4.3027},  {3, 3.1824},
                                             {9, 2.2622},  {30, 2.0423}, {1e6, 1.9600}};
  for (const auto& line : table) {
    const double df = line.first, expected = line.second;
    CAPTURE(df);
    CHECK(student_t_quantile(0.975, df) == doctest::Approx(expected).epsilon(5e-5 / expected));
    CHECK(student_t_quantile(0.025, df) == -student_t_quantile(0.975, df));
  }
  // One degree of freedom is the Cauchy distribution, two have a closed form: both to rounding.
  CHECK(student_t_cdf(1.0, 1) == doctest::Approx(0.75).epsilon(1e-13));
  CHECK(student_t_cdf(2.0, 2) == doctest::Approx(0.5 + 2.0 / (2 * std::sqrt(2 + 4.0))).epsilon(1e-13));
  CHECK(student_t_cdf(0, 5) == doctest::Approx(0.5).epsilon(1e-15));
}

TEST_CASE("spreads of paired, independent and single runs") {
  const double a[] = {1.0, 2.0, 4.0}, b[] = {0.5, 1.0, 3.5, 3.0};
  const auto paired = paired_spread(a);
  REQUIRE(paired);
  CHECK(paired->variance == doctest::Approx(7.0 / 9));  // s^2 = 7/3
  CHECK(paired->df == 2);
  const auto welch = independent_spread(a, b);
  REQUIRE(welch);
  const double va = 7.0 / 3 / 3, vb = variance(b) / 4;
  CHECK(welch->variance == doctest::Approx(va + vb));
  CHECK(welch->df == doctest::Approx((va + vb) * (va + vb) / (va * va / 2 + vb * vb / 3)));
  const double one[] = {1.0};
  const auto single = independent_spread(one, a);
  REQUIRE(single);
  CHECK(single->variance == doctest::Approx(7.0 / 3 * (1 + 1.0 / 3)));
  CHECK(single->df == 2);
  CHECK_FALSE(independent_spread(one, one));
  CHECK_FALSE(paired_spread(one));
}

TEST_CASE("an interval that no double holds is absent") {
  CHECK_FALSE(ratio_interval(0, Spread{1e6, 1}, 0.95));
  CHECK_FALSE(ratio_interval(0, std::nullopt, 0.95));
  const auto sharp = ratio_interval(std::log(1.5), Spread{0, 2}, 0.95);
  REQUIRE(sharp);
  CHECK(sharp->low == doctest::Approx(1.5));
  CHECK(sharp->high == doctest::Approx(1.5));
}

TEST_CASE("L-BFGS finds the minimum of Rosenbrock's function in ten dimensions") {
  const auto rosenbrock = [](const std::vector<double>& x, std::vector<double>& gradient) {
    std::fill(gradient.begin(), gradient.end(), 0.0);
    double sum = 0;
    for (std::size_t i = 0; i + 1 < x.size(); ++i) {
      const double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
      sum += 100 * a * a + b * b;
      gradient[i] += -400 * a * x[i] - 2 * b, gradient[i + 1] += 200 * a;
    }
    return sum;
  };
  const Minimum found = minimise(rosenbrock, std::vector<double>(10, -0.5), 2000, 0);
  // Stopped by progress below rounding: the function is quadratic there with curvature of order 1.
  for (const double x : found.x) CHECK(x == doctest::Approx(1).epsilon(1e-6));
}
