// What `bench` measures: the operations of a training step at the sizes of named models, alike on host and device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/op.h"

namespace isoloss::bench {

/// Sizes of a training step.
struct Shapes {
  std::string name;
  std::int64_t rows, context, width, heads, vocab;  ///< sequences a micro-batch, tokens each
  std::int64_t parameters;                          ///< of the optimizer's passes
  std::int64_t most_elements;                       ///< of stored scores and logits; larger ones are left out

  std::int64_t tokens() const { return rows * context; }
  std::int64_t padded_vocab() const { return (vocab + 63) / 64 * 64; }
};

/// Names for find_shapes(), and those for cases_named(): the same and "attention".
std::vector<std::string> model_shapes();
std::vector<std::string> case_shapes();
/// The sizes of a model by name; a GPU gets the micro-batch of the preset, the host a small one. Throws an input error
/// that lists the names.
Shapes find_shapes(const std::string& name, DeviceKind device);

/// One forward (or optimizer) operation; its backward operation follows from its gradient record.
struct Case {
  std::string op, what;  ///< `what` tells cases of the same op apart, such as "fc"
  Attributes attributes;
  std::vector<TensorType> in;
};

/// The operations of a step with activations and parameters of type `real` (f32 or bf16).
std::vector<Case> cases_of(const Shapes& shapes, DType real);
/// Flash attention at contexts 1k to 8k and head dimensions 64 and 128, `tokens` of them together and `width` =
/// heads · head dimension: the sizes of section 4.1 of FlashAttention-2 (arXiv 2307.08691) for 16,384 and 2,048.
std::vector<Case> attention_cases(std::int64_t tokens, std::int64_t width, DType real);
/// Those that `name` stands for.
std::vector<Case> cases_named(const std::string& name, DeviceKind device, DType real);

}  // namespace isoloss::bench
