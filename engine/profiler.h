// Op-by-op times of a training run, beside what the machine could do.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/executor.h"
#include "kernels/core/ceilings.h"

namespace isoloss {

class Profiler : public NodeObserver {
 public:
  void before(const Executor& executor, const Node& node, const OpCall& call) override;
  void after(const Executor& executor, const Node& node, const OpCall& call) override;
  /// Time outside graphs, such as the optimizer's, under a name and with its bytes.
  void add(const std::string& name, double seconds, const Cost& cost);
  /// Forgets what was seen: after the first step, whose page faults belong to the start and not to the operations.
  void clear() { rows_.clear(); }

  /// One row an op, slowest first: calls, milliseconds a step, share, GFLOP/s, GB/s, and the percentage of the speed
  /// of light, which is the larger of FLOPs over the GEMM ceiling and bytes over the copy ceiling.
  std::string table(std::int64_t steps, const Ceilings& ceilings) const;

 private:
  struct Row {
    std::int64_t calls = 0;
    double seconds = 0;
    Cost cost;
  };
  std::map<std::string, Row> rows_;
  double start_ = 0;
};

}  // namespace isoloss
