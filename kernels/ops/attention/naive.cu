// Attention with the scores in memory: batched matrix products around a softmax of rows. It is here on purpose: the
// baseline that flash attention is measured against. Heads that share keys are a batch with one matrix of keys, so
// nothing is repeated.
#include <string>
#include <utility>

#include "kernels/ops/attention/flash_tiles.cuh"

namespace isoloss {

namespace {

using namespace flash;

constexpr int kRowThreads = 128;

/// A block a row (q of head h of sequence b) of scores [B,H,T,T]. probabilities may be scores; weights, what values are
/// multiplied by, may be probabilities where there is no dropout.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    softmax_row(T* probabilities, T* weights, const T* scores, const __grid_constant__ Sizes sizes,
                const __grid_constant__ Dropout dropout) {
  const std::int64_t row = blockIdx.x;
  const int q = static_cast<int>(row % sizes.T), h = static_cast<int>(row / sizes.T % sizes.H);
  const int b = static_cast<int>(row / sizes.T / sizes.H);
  const std::int64_t at = row * sizes.T;
  const int first = first_key(sizes, q);
  float largest = -INFINITY;
  for (int k = first + static_cast<int>(threadIdx.x); k <= q; k += kRowThreads) {
    largest = nan_max(largest, to_float(scores[at + k]));
  }
  largest = block_max<kRowThreads>(largest);
  float sum = 0;
  for (int k = first + static_cast<int>(threadIdx.x); k <= q; k += kRowThreads) {
    sum += expf(to_float(scores[at + k]) - largest);
  }
  sum = block_sum<kRowThreads>(sum);
  for (int k = static_cast<int>(threadIdx.x); k < sizes.T; k += kRowThreads) {
    const bool alive = k >= first && k <= q;
    const float probability = alive ? expf(to_float(scores[at + k]) - largest) / sum : 0.0f;
    probabilities[at + k] = from_float<T>(probability);
    if (dropout.used) {
      weights[at + k] = from_float<T>(alive ? probability * dropout.factor(sizes, b, h, q, k) : 0.0f);
    }
  }
}

/// slopes [B,H,T,T]: from dP = dy · Vᵀ to dS, in place; weights as above, written where there is dropout.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    softmax_row_backward(T* slopes, T* weights, const T* probabilities, const __grid_constant__ Sizes sizes,
                         const __grid_constant__ Dropout dropout) {
  const std::int64_t row = blockIdx.x;
  const int q = static_cast<int>(row % sizes.T), h = static_cast<int>(row / sizes.T % sizes.H);
  const int b = static_cast<int>(row / sizes.T / sizes.H);
  const std::int64_t at = row * sizes.T;
  const int first = first_key(sizes, q);
  float sum = 0;
  for (int k = first + static_cast<int>(threadIdx.x); k <= q; k += kRowThreads) {
    sum += to_float(probabilities[at + k]) * dropout.factor(sizes, b, h, q, k) * to_float(slopes[at + k]);
  }
  const float delta = block_sum<kRowThreads>(sum);
  for (int k = static_cast<int>(threadIdx.x); k < sizes.T; k += kRowThreads) {
    const bool alive = k >= first && k <= q;
    float slope = 0, weight = 0;
    if (alive) {
      const float factor = dropout.factor(sizes, b, h, q, k), probability = to_float(probabilities[at + k]);
      slope = sizes.scale * probability * (factor * to_float(slopes[at + k]) - delta);
      weight = factor * probability;
    }
    slopes[at + k] = from_float<T>(slope);
    if (dropout.used) weights[at + k] = from_float<T>(weight);
  }
}

/// The batched products of one call: matrices of heads inside packed tokens, and square ones of pairs.
template <class T>
struct Products {
  DeviceContext& context;
  AttentionDims dims;
  DType dtype;

  using Operand = Matmul::Operand;
  Operand pairs(const T* base, std::int64_t b, std::int64_t h) const {
    return {.data = const_cast<T*>(base) + (b * dims.H + h) * dims.T * dims.T, .row = dims.T, .item = dims.T * dims.T};
  }
  /// `at`: where the first head lies in a token; `shared`: all of the batch read the same one.
  Operand heads(const T* base, std::int64_t b, std::int64_t token, std::int64_t at, bool shared) const {
    return {.data = const_cast<T*>(base) + b * dims.T * token + at, .row = token, .item = shared ? 0 : dims.D};
  }

  void run(std::int64_t n, std::int64_t k, std::int64_t batch, Operand a, Operand b, Operand c, float alpha,
           float beta) const {
    Matmul product{.m = dims.T, .n = n, .k = k, .batch = batch, .operands = dtype, .result = dtype};
    product.a = a, product.b = b, product.c = c;
    product.alpha = alpha, product.beta = beta, product.tf32 = context.cuda->tf32;
    context.cuda->device->matmul(product, context.cuda->stream);
  }

  /// body(b, h, kv, batch, shared) for batches of heads h … h + batch - 1 whose key heads lie D apart, or are one.
  template <class Body>
  void each(Body&& body) const {
    for (std::int64_t b = 0; b < dims.B; ++b) {
      if (dims.group() == 1) {
        body(b, std::int64_t{0}, std::int64_t{0}, dims.H, false);
        continue;
      }
      for (std::int64_t kv = 0; kv < dims.K; ++kv) body(b, kv * dims.group(), kv, dims.group(), true);
    }
  }
};

template <class T>
void naive(DeviceContext& context, const OpCall& call, const AttentionDims& dims) {
  const Products<T> products{context, dims, call.in[0].type.dtype};
  const Dropout dropout = dropout_of(call, context, dims);
  const std::int64_t all = dims.B * dims.H * dims.T * dims.T, token = dims.token(), out = dims.H * dims.D;
  T* scratch = static_cast<T*>(context.scratch.data);
  T* const probabilities = call.mode[1] == Mode::skip ? std::exchange(scratch, scratch + all) : call.out[1].as<T>();
  T* const weights = dropout.used ? scratch : probabilities;
  const T* const qkv = call.in[0].as<T>();
  products.each([&](std::int64_t b, std::int64_t h, std::int64_t kv, std::int64_t batch, bool shared) {
    products.run(dims.T, dims.D, batch, products.heads(qkv, b, token, dims.query_at(h), false),
                 transposed(products.heads(qkv, b, token, dims.key_at(kv), shared)),
                 products.pairs(probabilities, b, h), static_cast<float>(dims.scale()), 0);
  });
  launch(context, softmax_row<T>, static_cast<unsigned>(dims.B * dims.H * dims.T), kRowThreads, 0, probabilities,
         weights, probabilities, sizes_of(dims), dropout);
  products.each([&](std::int64_t b, std::int64_t h, std::int64_t kv, std::int64_t batch, bool shared) {
    products.run(dims.D, dims.T, batch, products.pairs(weights, b, h),
                 products.heads(qkv, b, token, dims.value_at(kv), shared),
                 products.heads(call.out[0].as<T>(), b, out, h * dims.D, false), 1, 0);
  });
}

template <class T>
void naive_backward(DeviceContext& context, const OpCall& call, const AttentionDims& dims) {
  const Products<T> products{context, dims, call.in[0].type.dtype};
  const Dropout dropout = dropout_of(call, context, dims);
  const std::int64_t all = dims.B * dims.H * dims.T * dims.T, token = dims.token(), out = dims.H * dims.D;
  const T *qkv = call.in[0].as<T>(), *probabilities = call.in[1].as<T>(), *dy = call.in[2].as<T>();
  T* const dqkv = call.out[0].as<T>();
  T* const slopes = static_cast<T*>(context.scratch.data);
  T* const dropped = slopes + all;
  products.each([&](std::int64_t b, std::int64_t h, std::int64_t kv, std::int64_t batch, bool shared) {
    products.run(dims.T, dims.D, batch, products.heads(dy, b, out, h * dims.D, false),
                 transposed(products.heads(qkv, b, token, dims.value_at(kv), shared)), products.pairs(slopes, b, h), 1,
                 0);
  });
  launch(context, softmax_row_backward<T>, static_cast<unsigned>(dims.B * dims.H * dims.T), kRowThreads, 0, slopes,
         dropped, probabilities, sizes_of(dims), dropout);
  const T* const weights = dropout.used ? dropped : probabilities;
  products.each([&](std::int64_t b, std::int64_t h, std::int64_t kv, std::int64_t batch, bool shared) {
    products.run(dims.D, dims.T, batch, products.pairs(slopes, b, h),
                 products.heads(qkv, b, token, dims.key_at(kv), shared),
                 products.heads(dqkv, b, token, dims.query_at(h), false), 1, 0);
    // Keys and values that heads share receive their sum, one head after the other.
    const std::int64_t rounds = shared ? batch : 1, heads = shared ? 1 : batch;
    for (std::int64_t g = 0; g < rounds; ++g) {
      const float beta = g > 0 ? 1.0f : 0.0f;
      products.run(dims.D, dims.T, heads, transposed(products.pairs(slopes, b, h + g)),
                   products.heads(qkv, b, token, dims.query_at(h + g), false),
                   products.heads(dqkv, b, token, dims.key_at(kv), false), 1, beta);
      products.run(dims.D, dims.T, heads, transposed(products.pairs(weights, b, h + g)),
                   products.heads(dy, b, out, (h + g) * dims.D, false),
                   products.heads(dqkv, b, token, dims.value_at(kv), false), 1, beta);
    }
  });
}

}  // namespace

void attention_naive_cuda(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  with_real(call.in[0].type.dtype, [&]<class T>(T) { naive<T>(context, call, dims); });
}

void attention_naive_backward_cuda(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  with_real(call.in[0].type.dtype, [&]<class T>(T) { naive_backward<T>(context, call, dims); });
}

}  // namespace isoloss
