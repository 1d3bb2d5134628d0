// A small model with two losses and a metric: what the engine does with them, on whichever machine.
#pragma once

#include <functional>

#include "engine/training_model.h"

namespace isoloss::test {

inline constexpr double kSecondWeight = 0.25;

/// Token table -> linear -> classifier, and beside it a score, one number: the first token's features times a vector.
/// The loss is the classifier's plus kSecondWeight times the score, which is also the metric `score`.
ModelGraphs two_losses();
/// Three steps of two micro-batches of three sequences, all logged.
RunConfig two_losses_config();

/// Three steps of two micro-batches: each step's metric is the mean of the score over its micro-batches, computed here
/// from the parameters; and losses of the machine are those of `ref`.
void check_metrics(const std::function<Machine()>& make);

}  // namespace isoloss::test
