#include "models/parts/builder.h"

namespace isoloss {

void classify(Builder& builder, ValueId x, int micro_batches) {
  Graph& graph = builder.graph;
  const ModelSpec& spec = builder.spec;
  const ValueId weight = spec.tie_embeddings ? token_table(builder)
                                             : builder.parameter("lm_head.weight", {spec.padded_vocab(), spec.width},
                                                                 builder.matrix_init(), spec.vocab);
  if (builder.purpose == Purpose::decoding) {
    graph.roles.logits = graph.apply("linear", "lm_head", {{"activation", 0}, {"transposed", 1}}, {x, weight, kAbsent});
    return;
  }
  const std::vector<ValueId> out =
      graph.add("classifier", "lm_head",
                {{"vocab", static_cast<double>(spec.vocab)}, {"scale", 1.0 / static_cast<double>(micro_batches)}},
                {x, weight, graph.roles.targets});
  const OpDef& head = find_op("classifier");
  graph.roles.token_losses = out[static_cast<std::size_t>(head.output("losses"))];
  graph.roles.loss = out[static_cast<std::size_t>(head.output("loss"))];
  graph.add_loss(graph.roles.loss);
}

}  // namespace isoloss
