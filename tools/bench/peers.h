// Matrix products of other people, to compare with: whatever of OpenBLAS and oneDNN is installed, found at run time, so
// that nothing here depends on them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/gemm.h"

namespace isoloss::bench {

struct Peer {
  std::string name;
  std::function<void(const GemmProblem&)> multiply;
};

/// The libraries that are there, set to as many threads as the pool has.
std::vector<Peer> find_peers();

}  // namespace isoloss::bench
