// The orders of threads that every kernel is tried in, and a kernel's error in them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "kernels/simt/executor.h"

namespace simt {

inline constexpr Schedule kSchedules[] = {
    {Order::forward, 1}, {Order::reverse, 1}, {Order::priority, 11}, {Order::priority, 12}};

/// Runs a kernel in every order; the first error's text, "" when there is none.
template <class Kernel>
std::string error_of(unsigned threads, Kernel kernel, std::size_t shared_bytes = 0, unsigned blocks = 1) {
  std::string first;
  for (const Schedule& schedule : kSchedules) {
    set_schedule(schedule);
    try {
      run_grid(blocks, threads, shared_bytes, kernel);
    } catch (const isoloss::CudaFailure& failure) {
      if (first.empty()) first = failure.what();
    }
  }
  return first;
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace simt
