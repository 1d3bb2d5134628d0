// MemoryPlan: from the lifetimes of a graph's values to offsets in one arena. A pure function; nothing is allocated
// here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/graph.h"

namespace isoloss {

struct MemoryPlan {
  /// Values that share one piece of the arena one after another, through in-place reuse.
  struct Buffer {
    std::size_t bytes = 0, offset = 0;
    int first = 0, last = 0;  ///< node indices between which it is live
    std::vector<ValueId> values;
  };
  static constexpr int kNone = -1;
  static constexpr std::size_t kAlignment = 64;  ///< bytes: a cache line, and the widest vector

  std::vector<Buffer> buffers;
  std::vector<int> buffer_of;      ///< by value; kNone for values outside the arena
  std::size_t arena_bytes = 0;     ///< activations, gradients, inputs
  std::size_t scratch_bytes = 0;   ///< the largest need of any node
  std::size_t live_bytes = 0;      ///< the largest sum of live values at any node: no plan can use less
  std::size_t unshared_bytes = 0;  ///< what the values would take without any reuse
  std::size_t state_bytes = 0;     ///< values kept from run to run

  bool in_arena(ValueId value) const { return buffer_of[static_cast<std::size_t>(value)] != kNone; }
  std::size_t offset(ValueId value) const {
    return buffers[static_cast<std::size_t>(buffer_of[static_cast<std::size_t>(value)])].offset;
  }
};

/// Inputs live from the start, values nobody reads to the end (they are results). An output takes over an input's
/// buffer where its port allows it and the input dies there. Buffers are then placed largest first at the lowest free
/// offset (greedy by size: Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
MemoryPlan plan_memory(const Graph& graph, DeviceKind device, int threads);

/// The table that `train --plan` prints: nodes with shapes, FLOPs and memory.
std::string plan_text(const Graph& graph, const MemoryPlan& plan);

}  // namespace isoloss
