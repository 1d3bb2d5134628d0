// Op-by-op times of a training run, beside what the machine could do. On cuda the times are those of the captured step:
// events around every operation are captured with it and recorded anew by every replay.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/executor.h"
#include "engine/optimizer.h"
#include "kernels/cpu/ceilings.h"

namespace isoloss {

class Profiler : public NodeObserver, public OperationObserver {
 public:
  explicit Profiler(const Machine& machine);
  ~Profiler() override;
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  void before(const Executor& executor, const Node& node, const OpCall& call) override;
  void after(const Executor& executor, const Node& node, const OpCall& call) override;
  bool captures() const override { return true; }
  void step_finished(bool replayed) override;
  void begin() override;
  void end(const std::string& name, const Cost& cost) override;

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
  /// One operation of the captured step, or of one that was launched operation by operation.
  struct Span {
    std::string name;
    Cost cost;
    CudaDevice::Event begin, end;
  };
  void add(const std::string& name, double seconds, const Cost& cost);
  void forget_spans();

  Machine machine_;
  std::map<std::string, Row> rows_;
  std::vector<Span> spans_;
  double start_ = 0;
};

}  // namespace isoloss
