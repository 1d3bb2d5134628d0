// One token after the other: the logits of the next one, and the draw from them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "engine/executor.h"
#include "kernels/base/philox.h"
#include "models/spec.h"

namespace isoloss {

struct DrawRule {
  double temperature = 0.8;  ///< >= 0; 0 takes the largest logit
  std::int64_t top_k = 50;   ///< only the K largest logits; 0: all
};

/// Draws an id from softmax(logits / temperature) cut to the top_k largest. Of equal logits the lower id counts as the
/// larger one. `logits` are finite, one for each id.
std::int32_t draw_token(std::span<const float> logits, const DrawRule& rule, Philox& random);

/// A model that reads tokens and says what comes next, with key-value caches.
class Decoder {
 public:
  /// `observer` watches the operations; null: nobody.
  Decoder(const ModelSpec& spec, const std::filesystem::path& weights, const Machine& machine,
          NodeObserver* observer = nullptr);

  /// Feeds one token and returns the logits [vocab] of the next, valid until the next call. A full context goes on with
  /// its newer half as the new beginning: positions past the trained context mean nothing to the model. Logits that are
  /// not finite are a run error.
  std::span<const float> feed(std::int32_t id);

 private:
  void step(std::int32_t id);

  std::int64_t vocab_, context_, position_ = 0;
  ParameterStore store_;
  std::unique_ptr<Executor> executor_;
  std::vector<std::int32_t> seen_;
  std::vector<float> logits_;
};

}  // namespace isoloss
