// What every part of a model builds with: the graph under construction, the parameter store and the spec.
#pragma once

#include <string>
#include <vector>

#include "engine/graph.h"
#include "engine/parameters.h"
#include "kernels/ops/activation/activation.h"
#include "models/spec.h"

namespace isoloss {

/// The kind of graph that is built from the same parts.
enum class Purpose : std::uint8_t {
  training,    ///< dropout on, ends in a loss head that is differentiated
  evaluation,  ///< the loss without dropout
  decoding,    ///< one token at a time with key-value caches, ends in logits
};

struct Builder {
  Graph& graph;
  ParameterStore& store;
  const ModelSpec& spec;
  Purpose purpose;

  /// Declares the parameter in the store at the first graph that uses it, and in the graph.
  ValueId parameter(const std::string& name, const Shape& shape, Initialisation init, std::int64_t rows = -1,
                    ParameterRole role = {});

  /// Matrices start normal with the spec's deviation; `residual` ones end a residual branch and are scaled down by
  /// sqrt(2 · layers), so that the residual stream's variance does not grow with depth (Radford et al. 2019, GPT-2).
  Initialisation matrix_init(bool residual = false) const;

  /// x · weight + bias [in, out], GPT-2's Conv1D, with an activation in the same operation.
  /// `columns`: the widths of the projections that are packed into it, where there are several.
  ValueId linear(const std::string& name, ValueId x, std::int64_t in, std::int64_t out,
                 Activation activation = Activation::none, bool residual = false,
                 std::vector<std::int64_t> columns = {});

  /// Dropout at the site `name`; the value itself outside training or where p = 0.
  ValueId dropout(const std::string& name, ValueId x);
  /// The number by which dropout masks of site `name` are drawn.
  static double dropout_node(const std::string& name);
};

/// The residual stream: what has been summed so far, and a branch not yet added, so that its addition can be fused with
/// the norm that follows.
struct ResidualStream {
  ValueId sum = kAbsent;
  ValueId branch = kAbsent;
};

/// models/parts/norm.cpp. Adds the pending branch and returns norm(sum); `Norm::none` returns the sum and emits no
/// norm.
ValueId add_and_norm(Builder& builder, ResidualStream& stream, Norm norm, const std::string& name);

/// models/parts/embedding.cpp. Token ids [B,T] -> [B,T,C], with whatever positions the spec adds at this place.
ValueId embed(Builder& builder, ValueId ids);
/// The token table [padded vocabulary, C], tied or not to the classifier.
ValueId token_table(Builder& builder);

/// models/parts/attention.cpp. The branch [B,T,C] of layer prefix "transformer.h.3.".
ValueId attention_branch(Builder& builder, const std::string& prefix, ValueId x);

/// models/parts/mlp.cpp.
ValueId mlp_branch(Builder& builder, const std::string& prefix, ValueId x);

/// models/parts/classifier.cpp. The loss head over the graph's targets, or logits for decoding, with their roles.
void classify(Builder& builder, ValueId x, int micro_batches);

}  // namespace isoloss
