#include "models/transformer.h"

#include <fmt/format.h>

#include <cmath>

#include "models/parts/builder.h"

namespace isoloss {

namespace {

/// norm(x + branch(x)) or x + branch(norm(x)): the only place that knows the difference.
template <class Branch>
void residual_step(Builder& builder, ResidualStream& stream, const std::string& norm_name, Branch&& branch) {
  const Norm norm = builder.spec.norm;
  if (builder.spec.norm_position == NormPosition::pre) {
    const ValueId x = add_and_norm(builder, stream, norm, norm_name);
    stream.branch = branch(x);
  } else {
    stream.branch = branch(stream.sum);
    stream = {add_and_norm(builder, stream, norm, norm_name), kAbsent};
  }
}

Graph build(const ModelSpec& spec, ParameterStore& store, Purpose purpose, std::int64_t rows, std::int64_t tokens,
            int micro_batches, DType real) {
  Graph graph(real);
  Builder builder{graph, store, spec, purpose};
  graph.roles.ids = graph.add_input("ids", {DType::i32, {rows, tokens}});
  if (purpose != Purpose::decoding) graph.roles.targets = graph.add_input("targets", {DType::i32, {rows, tokens}});

  ResidualStream stream{embed(builder, graph.roles.ids), kAbsent};
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    const std::string prefix = fmt::format("transformer.h.{}.", layer);
    residual_step(builder, stream, prefix + "ln_1", [&](ValueId x) { return attention_branch(builder, prefix, x); });
    residual_step(builder, stream, prefix + "ln_2", [&](ValueId x) { return mlp_branch(builder, prefix, x); });
  }
  const ValueId x = add_and_norm(builder, stream, spec.final_norm, "transformer.ln_f");
  classify(builder, x, micro_batches);
  return graph;
}

}  // namespace

Graph training_graph(const ModelSpec& spec, ParameterStore& store, std::int64_t rows, int micro_batches, DType real) {
  Graph graph = build(spec, store, Purpose::training, rows, spec.context, micro_batches, real);
  graph.differentiate();
  return graph;
}

Graph evaluation_graph(const ModelSpec& spec, ParameterStore& store, std::int64_t rows, DType real) {
  Graph graph = build(spec, store, Purpose::evaluation, rows, spec.context, 1, real);
  graph.finish_forward();
  return graph;
}

Graph decoding_graph(const ModelSpec& spec, ParameterStore& store, DType real) {
  Graph graph = build(spec, store, Purpose::decoding, 1, 1, 1, real);
  graph.finish_forward();
  return graph;
}

ModelGraphs model_graphs(const ModelSpec& spec) {
  return {[spec](ParameterStore& store, std::int64_t rows, int micro_batches, DType real) {
            return training_graph(spec, store, rows, micro_batches, real);
          },
          [spec](ParameterStore& store, std::int64_t rows, DType real) {
            return evaluation_graph(spec, store, rows, real);
          },
          spec.context};
}

std::int64_t active_parameters(const ParameterStore& store) {
  double active = 0;
  for (const ParameterInfo& info : store.all()) active += static_cast<double>(info.used()) * info.role.active_share;
  return std::llround(active);
}

std::int64_t embedding_parameters(const ParameterStore& store) {
  std::int64_t sum = 0;
  for (const ParameterInfo& info : store.all()) sum += info.role.is_table ? info.used() : 0;
  return sum;
}

}  // namespace isoloss
