#include "models/parts/builder.h"

namespace isoloss {

void classify(Builder& builder, ValueId x, ValueId targets, int micro_batches) {
  const ModelSpec& spec = builder.spec;
  const ValueId weight = spec.tie_embeddings ? token_table(builder)
                                             : builder.parameter("lm_head.weight", {spec.padded_vocab(), spec.width},
                                                                 builder.matrix_init(), spec.vocab);
  if (builder.purpose == Purpose::decoding) {
    const bool capped = spec.logit_softcap > 0;
    const ValueId logits = builder.graph.apply("linear", capped ? "lm_head.product" : "lm_head",
                                               {{"activation", 0}, {"transposed", 1}}, {x, weight, kAbsent});
    if (capped) builder.graph.apply("softcap", "lm_head", {{"cap", spec.logit_softcap}}, {logits});
    return;
  }
  Attributes attributes{{"vocab", static_cast<double>(spec.vocab)},
                        {"scale", 1.0 / static_cast<double>(micro_batches)}};
  if (spec.logit_softcap > 0) attributes.set("softcap", spec.logit_softcap);
  builder.graph.add("classifier", "lm_head", attributes, {x, weight, targets});
}

}  // namespace isoloss
