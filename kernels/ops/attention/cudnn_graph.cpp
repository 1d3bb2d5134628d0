#include "kernels/ops/attention/cudnn_graph.h"

#include <limits>
#include <utility>

namespace isoloss {

namespace {

using Quad = std::array<std::int64_t, 4>;

/// Strides of a tensor without gaps.
Quad dense(const Quad& size) { return {size[1] * size[2] * size[3], size[2] * size[3], size[3], 1}; }

/// The same matrices, rows and columns exchanged.
CudnnTensor transposed(CudnnTensor tensor) {
  std::swap(tensor.size[2], tensor.size[3]);
  std::swap(tensor.stride[2], tensor.stride[3]);
  return tensor;
}

/// A graph in the making: each member adds what it returns.
class Builder {
 public:
  explicit Builder(const AttentionDims& dims) : dims_(dims) {}

  std::size_t add(const CudnnTensor& tensor) {
    graph_.tensors.push_back(tensor);
    return graph_.tensors.size() - 1;
  }

  /// `heads` heads of packed tokens, the first at `offset` within a token: [B, heads, T, D].
  CudnnTensor packed(CudnnSource source, std::int64_t heads, std::int64_t offset) const {
    const std::int64_t token = dims_.token();
    return {.type = CudnnType::bf16,
            .size = {dims_.B, heads, dims_.T, dims_.D},
            .stride = {dims_.T * token, dims_.D, token, 1},
            .source = source,
            .offset = offset};
  }
  CudnnTensor queries(CudnnSource source) const { return packed(source, dims_.H, dims_.query_at(0)); }
  CudnnTensor keys(CudnnSource source) const { return packed(source, dims_.K, dims_.key_at(0)); }
  CudnnTensor values(CudnnSource source) const { return packed(source, dims_.K, dims_.value_at(0)); }

  /// y or its gradient: [B,T,H·D] seen as [B,H,T,D].
  CudnnTensor output(CudnnSource source) const {
    const std::int64_t token = dims_.H * dims_.D;
    return {.type = CudnnType::bf16,
            .size = {dims_.B, dims_.H, dims_.T, dims_.D},
            .stride = {dims_.T * token, dims_.D, token, 1},
            .source = source};
  }
  /// A number for each query: [B,H,T,1].
  CudnnTensor per_query(CudnnSource source) const { return dense_tensor({dims_.B, dims_.H, dims_.T, 1}, source); }
  /// A number for each pair: [B,H,T,T].
  CudnnTensor per_pair(CudnnType type = CudnnType::f32) const {
    return dense_tensor({dims_.B, dims_.H, dims_.T, dims_.T}, CudnnSource::inner, type);
  }
  /// What every query head alone gives for its keys: [B,H,T,D].
  CudnnTensor per_head(CudnnType type) const {
    return dense_tensor({dims_.B, dims_.H, dims_.T, dims_.D}, CudnnSource::inner, type);
  }
  std::size_t constant(float value) {
    return add({.type = CudnnType::f32, .source = CudnnSource::constant, .value = value});
  }

  /// Adds an operation that fills the tensor `out`, and returns it.
  std::size_t into(std::size_t out, CudnnKind kind, std::vector<std::size_t> in,
                   CudnnType arithmetic = CudnnType::f32) {
    graph_.operations.push_back({.kind = kind, .in = std::move(in), .out = out, .arithmetic = arithmetic});
    return out;
  }
  std::size_t make(const CudnnTensor& out, CudnnKind kind, std::vector<std::size_t> in,
                   CudnnType arithmetic = CudnnType::f32) {
    return into(add(out), kind, std::move(in), arithmetic);
  }

  /// The scaled scores of `query` and `key_transposed`.
  std::size_t scores(std::size_t query, std::size_t key_transposed, std::size_t scale) {
    const std::size_t products = make(per_pair(), CudnnKind::product, {query, key_transposed});
    return make(per_pair(), CudnnKind::multiply, {products, scale});
  }

  /// Where each of `pairs` stands: 2 gives the query, 3 the key.
  std::size_t index(std::size_t pairs, std::int64_t axis) {
    const std::size_t out = make(per_pair(CudnnType::i32), CudnnKind::index, {pairs});
    graph_.operations.back().axis = axis;
    return out;
  }

  /// `scores`, minus infinity for keys that a query does not see: those after it, and with a window those that are
  /// `window` or more before it.
  std::size_t masked(std::size_t scores) {
    const CudnnTensor answer = per_pair(CudnnType::boolean);
    const std::size_t row = index(scores, 2), column = index(scores, 3);
    const std::size_t not_after = make(answer, CudnnKind::greater_or_equal, {row, column}, CudnnType::boolean);
    std::size_t out = make(per_pair(), CudnnKind::select, {scores, constant(kDead), not_after});
    if (dims_.window == 0) return out;
    const std::size_t query = index(out, 2), key = index(out, 3);
    const std::size_t end = make(per_pair(), CudnnKind::add, {key, constant(static_cast<float>(dims_.window))});
    const std::size_t near = make(answer, CudnnKind::greater, {end, query}, CudnnType::boolean);
    return make(per_pair(), CudnnKind::select, {out, constant(kDead), near});
  }

  /// `per_query_head` [B,H,T,·] added over the heads that share a key head, into `out`; with as many key heads as query
  /// heads the product itself goes there.
  void product_per_key_head(std::size_t a, std::size_t b, const CudnnTensor& out) {
    if (dims_.group() == 1) {
      make(out, CudnnKind::product, {a, b});
    } else {
      const std::size_t heads = make(per_head(CudnnType::bf16), CudnnKind::product, {a, b});
      make(out, CudnnKind::sum, {heads});
    }
  }

  CudnnGraph take() { return std::move(graph_); }

 private:
  static constexpr float kDead = -std::numeric_limits<float>::infinity();

  static CudnnTensor dense_tensor(const Quad& size, CudnnSource source, CudnnType type = CudnnType::f32) {
    return {.type = type, .size = size, .stride = dense(size), .source = source};
  }

  const AttentionDims& dims_;
  CudnnGraph graph_;
};

}  // namespace

void* cudnn_address(CudnnTensor& tensor, const CudnnMemory& memory) {
  const auto at = [&tensor](void* source) -> void* {
    return static_cast<std::byte*>(source) + tensor.offset * (tensor.type == CudnnType::bf16 ? 2 : 4);
  };
  switch (tensor.source) {
    case CudnnSource::constant:
      return &tensor.value;
    case CudnnSource::qkv:
      return at(memory.qkv);
    case CudnnSource::y:
      return at(memory.y);
    case CudnnSource::lse:
      return at(memory.lse);
    case CudnnSource::dy:
      return at(memory.dy);
    case CudnnSource::dqkv:
      return at(memory.dqkv);
    case CudnnSource::scratch:
      return at(memory.scratch);
    case CudnnSource::inner:
      break;
  }
  return nullptr;
}

CudnnGraph cudnn_forward(const AttentionDims& dims) {
  Builder build(dims);
  const std::size_t query = build.add(build.queries(CudnnSource::qkv));
  const std::size_t key_transposed = build.add(transposed(build.keys(CudnnSource::qkv)));
  const std::size_t value = build.add(build.values(CudnnSource::qkv));
  const std::size_t scale = build.constant(static_cast<float>(dims.scale()));
  const CudnnTensor number = build.per_query(CudnnSource::inner);

  const std::size_t scores = build.masked(build.scores(query, key_transposed, scale));
  const std::size_t largest = build.make(number, CudnnKind::largest, {scores});
  const std::size_t shifted = build.make(build.per_pair(), CudnnKind::subtract, {scores, largest});
  const std::size_t weights = build.make(build.per_pair(), CudnnKind::exponential, {shifted});
  const std::size_t sum = build.make(number, CudnnKind::sum, {weights});
  const std::size_t logarithm = build.make(number, CudnnKind::logarithm, {sum});
  build.make(build.per_query(CudnnSource::lse), CudnnKind::add, {largest, logarithm});
  const std::size_t probabilities = build.make(build.per_pair(CudnnType::bf16), CudnnKind::divide, {weights, sum});
  build.make(build.output(CudnnSource::y), CudnnKind::product, {probabilities, value});
  return build.take();
}

CudnnGraph cudnn_backward(const AttentionDims& dims) {
  Builder build(dims);
  const std::size_t query = build.add(build.queries(CudnnSource::qkv));
  const std::size_t key_transposed = build.add(transposed(build.keys(CudnnSource::qkv)));
  const std::size_t value_transposed = build.add(transposed(build.values(CudnnSource::qkv)));
  const std::size_t y = build.add(build.output(CudnnSource::y));
  const std::size_t lse = build.add(build.per_query(CudnnSource::lse));
  const std::size_t dy = build.add(build.output(CudnnSource::dy));
  const std::size_t scale = build.constant(static_cast<float>(dims.scale()));

  // delta = <dy, y>; the factor stands where the graph with dropout has its own.
  CudnnTensor element_products = build.per_head(CudnnType::f32);
  element_products.stride[2] = dims.H * dims.D;
  const std::size_t products = build.make(element_products, CudnnKind::multiply, {dy, y});
  const std::size_t sums = build.make(build.per_query(CudnnSource::inner), CudnnKind::sum, {products});
  const std::size_t delta =
      build.make(build.per_query(CudnnSource::scratch), CudnnKind::multiply, {sums, build.constant(1)});

  // P = exp(score - lse), dV = Pᵀ · dy.
  const std::size_t scores = build.scores(query, key_transposed, scale);
  const std::size_t shifted = build.make(build.per_pair(), CudnnKind::subtract, {scores, lse});
  const std::size_t probabilities = build.make(build.per_pair(), CudnnKind::exponential, {build.masked(shifted)});
  const CudnnTensor pairs_transposed = transposed(build.per_pair(CudnnType::bf16));
  const std::size_t probabilities_transposed = build.make(pairs_transposed, CudnnKind::reshape, {probabilities});
  build.product_per_key_head(probabilities_transposed, dy, build.values(CudnnSource::dqkv));

  // dS = P · (dy · Vᵀ - delta) · scale, dK = dSᵀ · Q.
  const std::size_t dprobabilities = build.make(build.per_pair(), CudnnKind::product, {dy, value_transposed});
  const std::size_t centred = build.make(build.per_pair(), CudnnKind::subtract, {dprobabilities, delta});
  const std::size_t weighted = build.make(build.per_pair(), CudnnKind::multiply, {centred, probabilities});
  const std::size_t dscores = build.make(build.per_pair(), CudnnKind::multiply, {weighted, scale});
  const std::size_t dscores_transposed = build.make(pairs_transposed, CudnnKind::reshape, {dscores});
  build.product_per_key_head(dscores_transposed, query, build.keys(CudnnSource::dqkv));

  // dQ = dS · K.
  CudnnTensor rows_of_keys = build.keys(CudnnSource::inner);
  rows_of_keys.type = CudnnType::f32;  // as in the form that engines know
  rows_of_keys.offset = 0;
  const std::size_t key = build.make(rows_of_keys, CudnnKind::reshape, {key_transposed});
  build.make(build.queries(CudnnSource::dqkv), CudnnKind::product, {dscores, key});
  return build.take();
}

}  // namespace isoloss
