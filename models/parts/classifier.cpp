#include "models/parts/builder.h"

namespace isoloss {

void classify(Builder& builder, ValueId x, ValueId targets, int micro_batches) {
  const ModelSpec& spec = builder.spec;
  const ValueId weight = spec.tie_embeddings ? token_table(builder)
                                             : builder.parameter("lm_head.weight", {spec.padded_vocab(), spec.width},
                                                                 builder.matrix_init(), spec.vocab);
  if (builder.purpose == Purpose::decoding) {
    builder.graph.apply("linear", "lm_head", {{"activation", 0}, {"transposed", 1}}, {x, weight, kAbsent});
    return;
  }
  builder.graph.add("classifier", "lm_head",
                    {{"vocab", static_cast<double>(spec.vocab)}, {"scale", 1.0 / static_cast<double>(micro_batches)}},
                    {x, weight, targets});
}

}  // namespace isoloss
