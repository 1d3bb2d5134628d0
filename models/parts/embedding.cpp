#include "models/parts/builder.h"

namespace isoloss {

ValueId token_table(Builder& builder) {
  const ModelSpec& spec = builder.spec;
  return builder.parameter("transformer.wte.weight", {spec.padded_vocab(), spec.width}, builder.matrix_init(),
                           spec.vocab, {.active_share = spec.tie_embeddings ? 1.0 : 0.0, .is_table = true});
}

ValueId embed(Builder& builder, ValueId ids) {
  const ModelSpec& spec = builder.spec;
  const ValueId positions = spec.has_learned_positions()
                                ? builder.parameter("transformer.wpe.weight", {spec.context, spec.width},
                                                    builder.matrix_init(), -1, {.active_share = 0, .is_table = true})
                                : kAbsent;
  const double sinusoidal = spec.positions == Positions::sinusoidal ? 1 : 0;
  const ValueId x = builder.graph.apply("embedding", "transformer.wte", {{"sinusoidal", sinusoidal}},
                                        {ids, token_table(builder), positions});
  return builder.dropout("transformer.drop", x);
}

}  // namespace isoloss
