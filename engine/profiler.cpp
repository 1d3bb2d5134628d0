#include "engine/profiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace isoloss {

namespace {
double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
}  // namespace

Profiler::Profiler(const Machine& machine) : machine_(machine) {}

Profiler::~Profiler() { forget_spans(); }

void Profiler::forget_spans() {
  for (const Span& span : spans_) {
    machine_.cuda().destroy_event(span.begin);
    machine_.cuda().destroy_event(span.end);
  }
  spans_.clear();
}

void Profiler::before(const Executor&, const Node&, const OpCall&) { begin(); }

void Profiler::after(const Executor& executor, const Node& node, const OpCall&) {
  // One row a kind of part: "h.3.attn.c_attn" of every layer is one matrix product.
  const auto last_dot = node.name.rfind('.');
  const std::string part = last_dot == std::string::npos ? node.name : node.name.substr(last_dot + 1);
  end(node.op->name + " " + part, executor.graph().cost(node));
}

void Profiler::begin() {
  if (machine_.on_host()) {
    start_ = now_seconds();
    return;
  }
  CudaDevice& device = machine_.cuda();
  spans_.push_back({.name = "", .cost = {}, .begin = device.create_event(true), .end = device.create_event(true)});
  device.record(spans_.back().begin, machine_.stream());
}

void Profiler::end(const std::string& name, const Cost& cost) {
  if (machine_.on_host()) return add(name, now_seconds() - start_, cost);
  spans_.back().name = name;
  spans_.back().cost = cost;
  machine_.cuda().record(spans_.back().end, machine_.stream());
}

void Profiler::step_finished(bool replayed) {
  for (const Span& span : spans_) {
    add(span.name, 1e-3 * machine_.cuda().milliseconds(span.begin, span.end), span.cost);
  }
  if (!replayed) forget_spans();
}

void Profiler::add(const std::string& name, double seconds, const Cost& cost) {
  Row& row = rows_[name];
  row.calls += 1;
  row.seconds += seconds;
  row.cost += cost;
}

std::string Profiler::table(std::int64_t steps, const Ceilings& ceilings) const {
  std::vector<std::pair<std::string, Row>> rows(rows_.begin(), rows_.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0, light_total = 0;
  for (const auto& [name, row] : rows) total += row.seconds;
  const double per_step = 1.0 / static_cast<double>(std::max<std::int64_t>(1, steps));
  std::string out = fmt::format("{:<42} {:>6} {:>10} {:>7} {:>9} {:>8} {:>8}\n", "op and part", "calls", "ms/step",
                                "share", "GFLOP/s", "GB/s", "ceiling");
  for (const auto& [name, row] : rows) {
    const double light =
        std::max(row.cost.flops / ceilings.flops_per_second, row.cost.bytes / ceilings.bytes_per_second);
    light_total += light;
    out += fmt::format("{:<42} {:>6.0f} {:>10.3f} {:>6.1f}% {:>9.1f} {:>8.2f} {:>7.1f}%\n", name,
                       static_cast<double>(row.calls) * per_step, 1e3 * row.seconds * per_step,
                       100 * row.seconds / total, row.cost.flops / row.seconds * 1e-9,
                       row.cost.bytes / row.seconds * 1e-9, 100 * light / row.seconds);
  }
  out += fmt::format("{:<42} {:>6} {:>10.3f} {:>6.1f}% {:>9} {:>8} {:>7.1f}%\n", "all", "", 1e3 * total * per_step,
                     100.0, "", "", 100 * light_total / total);
  out += fmt::format("ceilings measured in this run: matrix product {:.1f} GFLOP/s, copy {:.1f} GB/s\n",
                     ceilings.flops_per_second * 1e-9, ceilings.bytes_per_second * 1e-9);
  return out;
}

}  // namespace isoloss
