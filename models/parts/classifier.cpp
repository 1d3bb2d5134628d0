#include "models/parts/builder.h"

namespace isoloss {

void classify(Builder& builder, ValueId x, int micro_batches) {
  Graph& graph = builder.graph;
  const ModelSpec& spec = builder.spec;
  const ValueId weight = spec.tie_embeddings ? token_table(builder)
                                             : builder.parameter("lm_head.weight", {spec.padded_vocab(), spec.width},
                                                                 builder.matrix_init(), spec.vocab);
  if (builder.purpose == Purpose::decoding) {
    const bool capped = spec.logit_softcap > 0;
    const ValueId logits = graph.apply("linear", capped ? "lm_head.product" : "lm_head",
                                       {{"activation", 0}, {"transposed", 1}}, {x, weight, kAbsent});
    graph.roles.logits = capped ? graph.apply("softcap", "lm_head", {{"cap", spec.logit_softcap}}, {logits}) : logits;
    return;
  }
  Attributes attributes{{"vocab", static_cast<double>(spec.vocab)},
                        {"scale", 1.0 / static_cast<double>(micro_batches)}};
  if (spec.logit_softcap > 0) attributes.set("softcap", spec.logit_softcap);
  const std::vector<ValueId> out = graph.add("classifier", "lm_head", attributes, {x, weight, graph.roles.targets});
  const OpDef& head = find_op("classifier");
  graph.roles.token_losses = out[static_cast<std::size_t>(head.output("losses"))];
  graph.roles.loss = out[static_cast<std::size_t>(head.output("loss"))];
  graph.add_loss(graph.roles.loss);
}

}  // namespace isoloss
