// What keys mean together: defaults that follow from other keys, combinations that do not fit, toggles without effect.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "engine/machine.h"
#include "models/config.h"

namespace isoloss {

/// Fills in what was not set anywhere (`present` holds the keys that were): kv_heads = heads; final_norm = norm under
/// pre-norm, none under post-norm; batch_tokens = one micro-batch; decay_steps = run.steps. A window that an extended
/// file brought along and that reaches over the whole context becomes 0, full attention.
void fill_defaults(Configuration& configuration, const std::set<std::string>& present);

/// What is allowed and surely not meant, one line each: a schedule that the run ends in the middle of, or that has no
/// decay.
std::vector<std::string> surprises(const RunConfig& config);
/// The same of a run's data: more tokens are asked for than `train_tokens` ids, and `evaluated` targets in whole
/// windows of `context`, give.
std::vector<std::string> surprises(const RunConfig& config, std::int64_t context, std::uint64_t train_tokens,
                                   std::uint64_t evaluated);

/// Throws an input error naming the key where values do not fit together, and where a key that was set explicitly has
/// no effect in this combination: any other value of it would give the same run.
void check_configuration(const Configuration& configuration);

/// Throws an input error naming the key where the configuration asks for what `device` does not have.
void check_device(const Configuration& configuration, DeviceKind device);

}  // namespace isoloss
