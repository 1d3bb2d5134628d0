#include "engine/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/first_fit.h"

namespace isoloss {

namespace {

struct Lifetime {
  int first = std::numeric_limits<int>::max();
  int last = -1;
};

bool planned(const Value& value) {
  return value.kind == ValueKind::activation || value.kind == ValueKind::gradient || value.kind == ValueKind::input;
}

std::size_t aligned(std::size_t bytes) {
  return (bytes + MemoryPlan::kAlignment - 1) / MemoryPlan::kAlignment * MemoryPlan::kAlignment;
}

std::vector<Lifetime> lifetimes(const Graph& graph) {
  std::vector<Lifetime> lives(graph.values().size());
  std::vector<bool> read(lives.size(), false);
  const int count = static_cast<int>(graph.nodes().size());
  const auto touch = [&](ValueId id, int node) {
    Lifetime& life = lives[static_cast<std::size_t>(id)];
    life.first = std::min(life.first, node);
    life.last = std::max(life.last, node);
  };
  for (int n = 0; n < count; ++n) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
    for (const ValueId id : node.in) {
      if (id != kAbsent) touch(id, n), read[static_cast<std::size_t>(id)] = true;
    }
    for (const ValueId id : node.out) {
      if (id != kAbsent) touch(id, n);
    }
  }
  for (std::size_t id = 0; id < lives.size(); ++id) {
    const Value& value = graph.values()[id];
    if (value.kind == ValueKind::input) lives[id] = {0, std::max(lives[id].last, 0)};
    // Results: what no node reads is read by the caller after the run, and so are losses and what has a role. Unread
    // scratch-like outputs of backward nodes (a gradient nobody consumes) are not results.
    if (value.kind == ValueKind::activation && !read[id] && lives[id].last >= 0) lives[id].last = count;
  }
  const auto is_result = [&](ValueId id) {
    if (id != kAbsent && planned(graph.value(id))) lives[static_cast<std::size_t>(id)].last = count;
  };
  for (const ValueId id : {graph.roles.loss, graph.roles.token_losses, graph.roles.logits}) is_result(id);
  for (const Metric& metric : graph.roles.metrics) is_result(metric.value);
  for (const Loss& loss : graph.losses()) is_result(loss.value);
  return lives;
}

/// Merges outputs into input buffers where the op allows it and the input dies at that node.
void share_in_place(const Graph& graph, std::vector<Lifetime>& lives, std::vector<ValueId>& root) {
  const auto at = [](ValueId id) { return static_cast<std::size_t>(id); };
  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
    for (std::size_t o = 0; o < node.out.size(); ++o) {
      const OutputPort& port = node.op->outputs[o];
      if (node.out[o] == kAbsent || *port.in_place_of == '\0' || node.mode[o] != Mode::write) continue;
      const ValueId input = node.in[at(node.op->input(port.in_place_of))], output = node.out[o];
      if (input == kAbsent || !planned(graph.value(input)) || !planned(graph.value(output))) continue;
      if (graph.value(input).kind == ValueKind::input) continue;  // the caller may run again on the same input
      const ValueId base = root[at(input)];
      const bool once = std::count(node.in.begin(), node.in.end(), input) == 1;
      const bool taken = std::any_of(node.out.begin(), node.out.end(), [&](ValueId other) {
        return other != kAbsent && other != output && root[at(other)] == base;
      });
      if (!once || taken || lives[at(base)].last != n || lives[at(output)].first != n) continue;
      if (graph.value(input).type.bytes() != graph.value(output).type.bytes()) continue;
      root[at(output)] = base;
      lives[at(base)].last = lives[at(output)].last;
    }
  }
}

void place(std::vector<MemoryPlan::Buffer>& buffers, int moments) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  FirstFit arena(moments);
  for (const std::size_t index : order) {
    MemoryPlan::Buffer& buffer = buffers[index];
    buffer.offset = arena.place(buffer.first, buffer.last, buffer.bytes);
  }
}

/// The largest sum of buffers that are live at the same moment.
std::size_t most_live(const std::vector<MemoryPlan::Buffer>& buffers, int moments) {
  // What comes and goes at each moment; sums wrap around together, so that a loss needs no sign.
  std::vector<std::size_t> change(static_cast<std::size_t>(moments) + 1, 0);
  for (const MemoryPlan::Buffer& buffer : buffers) {
    change[static_cast<std::size_t>(buffer.first)] += buffer.bytes;
    change[static_cast<std::size_t>(buffer.last) + 1] -= buffer.bytes;
  }
  std::size_t live = 0, most = 0;
  for (const std::size_t bytes : change) live += bytes, most = std::max(most, live);
  return most;
}

}  // namespace

MemoryPlan plan_memory(const Graph& graph, DeviceKind device, int threads) {
  const std::size_t count = graph.values().size();
  std::vector<Lifetime> lives = lifetimes(graph);
  std::vector<ValueId> root(count);
  std::iota(root.begin(), root.end(), 0);
  const std::vector<Lifetime> own = lives;
  share_in_place(graph, lives, root);

  MemoryPlan plan;
  plan.buffer_of.assign(count, MemoryPlan::kNone);
  for (std::size_t id = 0; id < count; ++id) {
    const Value& value = graph.values()[id];
    if (value.kind == ValueKind::state) plan.state_bytes += aligned(value.type.bytes());
    if (!planned(value) || own[id].last < 0) continue;
    plan.unshared_bytes += aligned(value.type.bytes());
    const auto base = static_cast<std::size_t>(root[id]);
    int& buffer = plan.buffer_of[base];
    if (buffer == MemoryPlan::kNone) {
      buffer = static_cast<int>(plan.buffers.size());
      plan.buffers.push_back({aligned(value.type.bytes()), 0, lives[base].first, lives[base].last, {}});
    }
    plan.buffer_of[id] = buffer;
    plan.buffers[static_cast<std::size_t>(buffer)].values.push_back(static_cast<ValueId>(id));
  }
  const int moments = static_cast<int>(graph.nodes().size()) + 1;  // results live on after the last node
  place(plan.buffers, moments);
  for (const MemoryPlan::Buffer& buffer : plan.buffers) {
    plan.arena_bytes = std::max(plan.arena_bytes, buffer.offset + buffer.bytes);
  }
  plan.live_bytes = most_live(plan.buffers, moments);
  for (const Node& node : graph.nodes()) {
    plan.scratch_bytes = std::max(plan.scratch_bytes, aligned(graph.scratch_bytes(node, device, threads)));
  }
  return plan;
}

std::string plan_text(const Graph& graph, const MemoryPlan& plan) {
  const auto mega = [](double bytes) { return bytes / 1048576.0; };
  std::string out = fmt::format("{:>4}  {:<24} {:<26} {:<22} {:>10} {:>10}  {}\n", "node", "op", "part", "output",
                                "MFLOP", "MiB", "offset");
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    bool first = true;
    for (std::size_t o = 0; o < node.out.size(); ++o) {
      if (node.out[o] == kAbsent) continue;
      const Value& value = graph.value(node.out[o]);
      const bool arena = plan.in_arena(node.out[o]);
      const bool reused =
          arena && plan.buffers[static_cast<std::size_t>(plan.buffer_of[static_cast<std::size_t>(node.out[o])])]
                           .values.front() != node.out[o];
      const std::string where = !arena                             ? "parameter gradient"
                                : node.mode[o] == Mode::accumulate ? "accumulates"
                                : reused                           ? "in place"
                                         : fmt::format("{:.2f}", mega(static_cast<double>(plan.offset(node.out[o]))));
      out += fmt::format("{:>4}  {:<24} {:<26} {:<22} {:>10} {:>10.2f}  {}\n", first ? std::to_string(n) : "",
                         first ? node.op->name : "", first ? node.name : "",
                         node.op->outputs[o].name + value.type.shape.text(),
                         first ? fmt::format("{:.2f}", graph.cost(node).flops * 1e-6) : "",
                         mega(static_cast<double>(value.type.bytes())), where);
      first = false;
    }
  }
  const Cost cost = graph.cost();
  out += fmt::format(
      "\n{} nodes, {:.3f} GFLOP ({:.3f} in matrix products), arena {:.2f} MiB in {} buffers (live at once {:.2f} MiB, "
      "without reuse {:.2f} MiB), scratch {:.2f} MiB\n",
      graph.nodes().size(), cost.flops * 1e-9, cost.matmul_flops * 1e-9, mega(static_cast<double>(plan.arena_bytes)),
      plan.buffers.size(), mega(static_cast<double>(plan.live_bytes)), mega(static_cast<double>(plan.unshared_bytes)),
      mega(static_cast<double>(plan.scratch_bytes)));
  return out;
}

}  // namespace isoloss
