// What an operation is compared with on its device, in the same run: a copy of as many bytes where memory bounds it,
// the library's products alone where it is made of products, cuDNN's fused attention for flash attention.
#pragma once

#include <optional>
#include <string>

#include "tools/bench/operation.h"
#include "tools/bench/timing.h"

namespace isoloss::bench {

struct DevicePeer {
  std::string name;  ///< "copy", "matmul", "cudnn"
  Rival rival;       ///< its memory belongs to the Operands that it was made with
};

/// Nothing where there is no such peer: naive attention, or cuDNN where it is not built in or refuses the operands.
/// Products overwrite the operation's own outputs.
std::optional<DevicePeer> peer_of(const Operation& operation, Operands& operands);

}  // namespace isoloss::bench
