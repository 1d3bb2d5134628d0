#include "tools/ceg/estimate/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

namespace isoloss::ceg {
namespace {

using Vector = std::vector<double>;
double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

struct Step {
  Vector moved, gradient_change;
  double inverse_curvature;
};

/// -H · gradient, H being the inverse Hessian that the remembered steps describe (two-loop recursion).
Vector direction(const Vector& gradient, const std::deque<Step>& memory) {
  Vector q = gradient;
  std::vector<double> shares(memory.size());
  for (std::size_t k = memory.size(); k-- > 0;) {
    shares[k] = memory[k].inverse_curvature * dot(memory[k].moved, q);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] -= shares[k] * memory[k].gradient_change[i];
  }
  double scale = 1 / std::max(1.0, std::sqrt(dot(gradient, gradient)));
  if (!memory.empty()) {
    const Step& last = memory.back();
    scale = 1 / (last.inverse_curvature * dot(last.gradient_change, last.gradient_change));
  }
  for (double& value : q) value *= scale;
  for (std::size_t k = 0; k < memory.size(); ++k) {
    const double share = memory[k].inverse_curvature * dot(memory[k].gradient_change, q);
    for (std::size_t i = 0; i < q.size(); ++i) q[i] += (shares[k] - share) * memory[k].moved[i];
  }
  for (double& value : q) value = -value;
  return q;
}

}  // namespace

Minimum minimise(const std::function<double(const Vector&, Vector&)>& function, Vector start, int iterations,
                 double tolerance) {
  constexpr std::size_t kMemory = 10;
  Minimum best{std::move(start), 0};
  Vector gradient(best.x.size()), next_gradient(best.x.size());
  best.value = function(best.x, gradient);
  std::deque<Step> memory;
  for (int iteration = 0; iteration < iterations && std::isfinite(best.value); ++iteration) {
    Vector towards = direction(gradient, memory);
    double slope = dot(towards, gradient);
    if (!(slope < 0)) {
      memory.clear();
      towards = direction(gradient, memory);
      slope = dot(towards, gradient);
      if (!(slope < 0)) break;
    }
    double length = 1, value = 0;
    Vector next(best.x.size());
    bool found = false;
    for (int halving = 0; halving < 50 && !found; ++halving, length *= 0.5) {
      for (std::size_t i = 0; i < next.size(); ++i) next[i] = best.x[i] + length * towards[i];
      value = function(next, next_gradient);
      found = value <= best.value + 1e-4 * length * slope;
    }
    if (!found) {
      if (memory.empty()) break;
      memory.clear();  // the remembered curvature misleads here: once more along the gradient
      continue;
    }
    Step step{Vector(next.size()), Vector(next.size()), 0};
    for (std::size_t i = 0; i < next.size(); ++i) {
      step.moved[i] = next[i] - best.x[i];
      step.gradient_change[i] = next_gradient[i] - gradient[i];
    }
    const double curvature = dot(step.moved, step.gradient_change);
    if (curvature > 1e-12 * dot(step.gradient_change, step.gradient_change)) {
      step.inverse_curvature = 1 / curvature;
      memory.push_back(std::move(step));
      if (memory.size() > kMemory) memory.pop_front();
    }
    const double gained = best.value - value;
    best = {std::move(next), value};
    std::swap(gradient, next_gradient);
    if (gained <= tolerance * std::abs(value)) break;
  }
  return best;
}

}  // namespace isoloss::ceg
