#include "models/parts/builder.h"

namespace isoloss {

namespace {

const char* operation_of(Attention attention) {
  switch (attention) {
    case Attention::naive:
      return "attention_naive";
    case Attention::cudnn:
      return "attention_cudnn";
    case Attention::flash:
      break;
  }
  return "attention_flash";
}

}  // namespace

ValueId attention_branch(Builder& builder, const std::string& prefix, ValueId x) {
  const ModelSpec& spec = builder.spec;
  Graph& graph = builder.graph;
  const std::string name = prefix + "attn";
  const auto heads = static_cast<double>(spec.heads), kv_heads = static_cast<double>(spec.kv_heads);
  const std::int64_t queries = spec.width, keys = spec.kv_heads * spec.head_width();

  ValueId qkv = builder.linear(name + ".c_attn", x, spec.width, queries + 2 * keys, Activation::none,
                               /*residual=*/false, {queries, keys, keys});
  if (spec.has_rope()) {
    qkv = graph.apply("rope", name + ".rope", {{"heads", heads}, {"kv_heads", kv_heads}, {"theta", spec.rope_theta}},
                      {qkv});
  }
  Attributes attributes{{"heads", heads}, {"kv_heads", kv_heads}, {"window", static_cast<double>(spec.window)}};
  ValueId y = kAbsent;
  if (builder.purpose == Purpose::decoding) {
    const Shape cache{1, spec.context, 2 * spec.kv_heads * spec.head_width()};
    y = graph.apply("attention_cached", name, attributes,
                    {qkv, graph.add_state(name + ".cache", {graph.real(), cache})});
  } else {
    attributes.set("p", builder.purpose == Purpose::training ? spec.dropout : 0);
    attributes.set("node", Builder::dropout_node(name));
    y = graph.apply(operation_of(spec.attention), name, attributes, {qkv});
  }
  const ValueId out = builder.linear(name + ".c_proj", y, spec.width, spec.width, Activation::none, /*residual=*/true);
  return builder.dropout(name + ".resid_dropout", out);
}

}  // namespace isoloss
