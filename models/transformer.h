// A GPT-style transformer as a graph: embedding, layers of attention and MLP on a residual stream, classifier.
#pragma once

#include "engine/graph.h"
#include "engine/parameters.h"
#include "engine/training_model.h"
#include "models/spec.h"

namespace isoloss {

/// One training micro-batch of `rows` sequences, with all roles of `Roles` but logits; differentiated. The gradient is
/// scaled by 1 / micro_batches, so that the sum over a step's micro-batches is the gradient of the mean loss. Declares
/// its parameters in `store`.
Graph training_graph(const ModelSpec& spec, ParameterStore& store, std::int64_t rows, int micro_batches,
                     DType real = DType::f32);

/// The loss of `rows` sequences without dropout, same roles.
Graph evaluation_graph(const ModelSpec& spec, ParameterStore& store, std::int64_t rows, DType real = DType::f32);

/// One token, ids [1, 1] at state.position, keys and values of earlier positions in caches: role `logits`; only the
/// first `vocab` logits mean something.
Graph decoding_graph(const ModelSpec& spec, ParameterStore& store, DType real = DType::f32);

/// The two graphs as the engine's trainer asks for them.
ModelGraphs model_graphs(const ModelSpec& spec);

/// Parameters that take part in a token's matrix products, by their active shares: all but the tables that are only
/// looked up (positions, and the token table where the classifier has its own).
std::int64_t active_parameters(const ParameterStore& store);
/// Parameters in tables indexed by token or position.
std::int64_t embedding_parameters(const ParameterStore& store);

}  // namespace isoloss
