// The vector register against plain arithmetic, and its functions against double.
#include "kernels/cpu/vec.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/cpu/vec_dropout.h"

using namespace isoloss;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

float lane0(Vec v) { return v[0]; }

/// Distance in units of the last place of the float nearest to `exact`.
double ulps(float got, double exact) {
  const float nearest = static_cast<float>(exact);
  if (!std::isfinite(nearest) || !std::isfinite(got)) return got == nearest ? 0 : 1e9;
  const double step = std::max(static_cast<double>(std::nextafter(std::fabs(nearest), kInfinity)) - std::fabs(nearest),
                               static_cast<double>(std::numeric_limits<float>::denorm_min()));
  return std::fabs(got - exact) / step;
}

/// Largest value of error(f(x), exact(x)) over `points` places in [low, high].
double worst(double low, double high, Vec (*f)(Vec), const std::function<double(double)>& exact,
             const std::function<double(float, double)>& error, int points = 200000) {
  double largest = 0;
  for (int i = 0; i < points; i += kVecWidth) {
    float x[kVecWidth], y[kVecWidth];
    for (int lane = 0; lane < kVecWidth; ++lane) {
      x[lane] = static_cast<float>(low + (high - low) * (i + lane + 0.37) / (points + kVecWidth));
    }
    f(Vec::load(x)).store(y);
    for (int lane = 0; lane < kVecWidth; ++lane) largest = std::max(largest, error(y[lane], exact(x[lane])));
  }
  return largest;
}

double absolute(float got, double exact) { return std::fabs(got - exact); }

}  // namespace

TEST_CASE("vec: loads, stores and selections touch just their lanes") {
  float source[kVecWidth], target[kVecWidth + 2];
  for (int i = 0; i < kVecWidth; ++i) source[i] = static_cast<float>(i + 1);
  for (int n = 0; n <= kVecWidth; ++n) {
    std::fill(std::begin(target), std::end(target), -7.0f);
    const Vec v = Vec::load(source, n);
    v.store(target + 1, n);
    for (int i = 0; i < kVecWidth; ++i) {
      CHECK(v[i] == (i < n ? source[i] : 0.0f));
      CHECK(target[i + 1] == (i < n ? source[i] : -7.0f));
      CHECK(select(VecMask::first(n), Vec(1.0f), Vec(2.0f))[i] == (i < n ? 1.0f : 2.0f));
    }
    CHECK(target[0] == -7.0f);
    CHECK(target[kVecWidth + 1] == -7.0f);
  }
  CHECK(VecMask::first(-3).none());
  CHECK((~VecMask::first(kVecWidth + 5)).none());
  CHECK_FALSE((VecMask::first(2) & VecMask::first(1)).none());
  CHECK(std::signbit(lane0(Vec(-0.0f))));
  CHECK(sum(Vec::load(source)) == kVecWidth * (kVecWidth + 1) / 2);
  CHECK(max_lane(Vec::load(source)) == kVecWidth);
  CHECK(max_number_lane(-Vec::load(source)) == -1);
  CHECK(lane0(sqrt(Vec(9.0f))) == 3);
  CHECK(lane0(copy_sign(Vec(2.0f), Vec(-0.0f))) == -2);
}

TEST_CASE("vec: NaN survives max, min and max_lane") {
  CHECK(std::isnan(lane0(max(Vec(kNan), Vec(1.0f)))));
  CHECK(std::isnan(lane0(max(Vec(1.0f), Vec(kNan)))));
  CHECK(std::isnan(lane0(min(Vec(kNan), Vec(1.0f)))));
  CHECK(std::isnan(lane0(min(Vec(1.0f), Vec(kNan)))));
  CHECK(lane0(max(Vec(-kInfinity), Vec(3.0f))) == 3);
  CHECK(lane0(min(Vec(kInfinity), Vec(3.0f))) == 3);
  for (int at = 0; at < kVecWidth; ++at) {
    float lanes[kVecWidth] = {};
    lanes[at] = kNan;
    CHECK(std::isnan(max_lane(Vec::load(lanes))));
    CHECK(std::isnan(sum(Vec::load(lanes))));
  }
}

TEST_CASE("vec: exp within 2 ulp, denormal results included") {
  const auto exact = [](double x) { return std::exp(x); };
  CHECK(worst(-87, 88.7, exp, exact, ulps) <= 2);
  CHECK(worst(-1, 1, exp, exact, ulps) <= 2);
  CHECK(worst(-104, -87, exp, exact, ulps) <= 2);
  CHECK(lane0(exp(Vec(0.0f))) == 1);
  CHECK(lane0(exp(Vec(-kInfinity))) == 0);
  CHECK(lane0(exp(Vec(-1e30f))) == 0);
  CHECK(lane0(exp(Vec(kInfinity))) == kInfinity);
  CHECK(lane0(exp(Vec(89.5f))) == kInfinity);
  CHECK(std::isnan(lane0(exp(Vec(kNan)))));
}

TEST_CASE("vec: log within 2 ulp") {
  const auto exact = [](double x) { return std::log(x); };
  CHECK(worst(1e-3, 4, log, exact, ulps) <= 2);
  CHECK(worst(0.7, 1.42, log, exact, ulps) <= 2);
  CHECK(worst(1, 3e38, log, exact, ulps) <= 2);
  CHECK(worst(1e-45, 1e-37, log, exact, ulps) <= 2);
  CHECK(lane0(log(Vec(1.0f))) == 0);
  CHECK(lane0(log(Vec(0.0f))) == -kInfinity);
  CHECK(lane0(log(Vec(kInfinity))) == kInfinity);
  CHECK(std::isnan(lane0(log(Vec(-1.0f)))));
  CHECK(std::isnan(lane0(log(Vec(kNan)))));
}

TEST_CASE("vec: tanh within 3 ulp, erf within 2e-7") {
  const auto exact_tanh = [](double x) { return std::tanh(x); };
  CHECK(worst(-12, 12, tanh, exact_tanh, ulps) <= 3);
  CHECK(worst(-0.7, 0.7, tanh, exact_tanh, ulps) <= 3);
  CHECK(lane0(tanh(Vec(kInfinity))) == 1);
  CHECK(lane0(tanh(Vec(-kInfinity))) == -1);
  CHECK(std::signbit(lane0(tanh(Vec(-0.0f)))));
  CHECK(std::isnan(lane0(tanh(Vec(kNan)))));

  const auto exact_erf = [](double x) { return std::erf(x); };
  CHECK(worst(-6, 6, erf, exact_erf, absolute) <= 2e-7);
  CHECK(worst(-1e-3, 1e-3, erf, exact_erf, ulps) <= 3);
  CHECK(lane0(erf(Vec(kInfinity))) == 1);
  CHECK(lane0(erf(Vec(-kInfinity))) == -1);
  CHECK(std::isnan(lane0(erf(Vec(kNan)))));
}

TEST_CASE("vec: sine and cosine, large angles included") {
  const auto sine = [](Vec x) {
    Vec s, c;
    sine_cosine(x, s, c);
    return s;
  };
  const auto cosine = [](Vec x) {
    Vec s, c;
    sine_cosine(x, s, c);
    return c;
  };
  for (const double reach : {3.2, 2000.0, 1e6}) {
    CHECK(worst(
              -reach, reach, sine, [](double x) { return std::sin(x); }, absolute) <= 1e-7);
    CHECK(worst(
              -reach, reach, cosine, [](double x) { return std::cos(x); }, absolute) <= 1e-7);
  }
  CHECK(worst(
            -0.7, 0.7, sine, [](double x) { return std::sin(x); }, ulps) <= 2);
  CHECK(std::isnan(lane0(sine(Vec(kNan)))));
  CHECK(lane0(cosine(Vec(0.0f))) == 1);
}

TEST_CASE("vec: dropout factors are those of the scalar mask") {
  const DropoutMask mask(12345, 678, 0x1234567890ab, 0.3);
  for (const std::uint64_t start :
       {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{0x3fffffff2}, std::uint64_t{1} << 50}) {
    for (const std::int64_t n : {1, 5, kDropoutGroup, 3 * kDropoutGroup + 7}) {
      std::vector<float> factors(static_cast<std::size_t>(n) + 1, -7.0f);
      dropout_factors(mask, start, n, factors.data());
      int wrong = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const float expected = mask.keep(start + static_cast<std::uint64_t>(i)) ? static_cast<float>(mask.scale) : 0.0f;
        wrong += factors[static_cast<std::size_t>(i)] != expected;
      }
      CHECK(wrong == 0);
      CHECK(factors.back() == -7.0f);
    }
  }
}
