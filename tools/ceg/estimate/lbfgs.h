// Minimisation of a smooth function by L-BFGS. Source: Nocedal and Wright, Numerical Optimization, 2nd edition,
// algorithms 7.4 and 7.5, with Armijo backtracking.
#pragma once

#include <functional>
#include <vector>

namespace isoloss::ceg {

struct Minimum {
  std::vector<double> x;
  double value = 0;
};

/// `function(x, gradient)` returns the value and fills the gradient (of x's size). Stops when a step gains less than
/// `tolerance` relative to the value, or after `iterations`. A start whose value is not finite is returned as it is.
Minimum minimise(const std::function<double(const std::vector<double>&, std::vector<double>&)>& function,
                 std::vector<double> start, int iterations, double tolerance);

}  // namespace isoloss::ceg
