#include "kernels/classifier/classifier.h"
#include "kernels/classifier/classifier_cuda.h"
#include "kernels/core/dispatch.cuh"
#include "kernels/core/launch.cuh"
#include "kernels/core/pack.cuh"
#include "kernels/core/reduce.cuh"

namespace isoloss {

namespace {

constexpr int kThreads = 512;

/// What one thread has seen of a row: its largest logit and the sum of exponentials relative to it.
struct Partial {
  float largest, sum;
};

template <class T>
struct RowArguments {
  const T* logits;  ///< [rows, width]
  T* gradient;      ///< may be logits; null: not wanted
  const std::int32_t* targets;
  float* losses;  ///< null: not wanted
  std::int64_t vocab, width;
  float factor;
};

/// A block a row: one read for the softmax, and, while the row is still in the cache, one more for its gradient.
template <class T, int n>
__global__ void __launch_bounds__(kThreads) row_loss(const __grid_constant__ RowArguments<T> p) {
  const std::int64_t row = blockIdx.x;
  const T* const logits = p.logits + row * p.width;
  const std::int32_t target = p.targets[row];
  const bool valid = target >= 0 && target < p.vocab;
  const float of_target = valid ? to_float(logits[target]) : 0.0f;
  Partial own{-INFINITY, 0};
  for (std::int64_t v = threadIdx.x * n; v < p.vocab; v += kThreads * n) {
    const auto pack = Pack<T, n>::load(logits + v);
    float largest = own.largest;
    UNROLL for (int i = 0; i < n; ++i) {
      if (v + i < p.vocab) largest = nan_max(largest, pack.get(i));
    }
    // As long as there was nothing but -inf, all exponentials are 0, and -inf - -inf must not make them NaN.
    const float reference = largest == -INFINITY ? 0.0f : largest;
    own.sum *= expf(own.largest - reference);
    UNROLL for (int i = 0; i < n; ++i) {
      if (v + i < p.vocab) own.sum += expf(pack.get(i) - reference);
    }
    own.largest = largest;
  }
  const float largest = block_max<kThreads>(own.largest);
  // A thread without logits has -inf - largest: an exponential of zero; but -inf - -inf would be NaN.
  const float sum = block_sum<kThreads>(own.sum == 0.0f ? 0.0f : own.sum * expf(own.largest - largest));
  if (threadIdx.x == 0 && p.losses != nullptr) {
    p.losses[row] = valid ? logf(sum) + largest - of_target : NAN;
  }
  if (p.gradient == nullptr) return;
  const float inverse = 1.0f / sum;
  T* const gradient = p.gradient + row * p.width;
  for (std::int64_t v = threadIdx.x * n; v < p.width; v += kThreads * n) {
    auto pack = Pack<T, n>::load(logits + v);
    UNROLL for (int i = 0; i < n; ++i) {
      const float probability = expf(pack.get(i) - largest) * inverse;
      pack.set(i, v + i < p.vocab ? (probability - (v + i == target ? 1.0f : 0.0f)) * p.factor : 0.0f);
    }
    pack.store(gradient + v);
  }
}

__global__ void __launch_bounds__(kThreads) mean_of(float* mean, const float* losses, std::int64_t rows) {
  double sum = 0;
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) sum += static_cast<double>(losses[row]);
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) *mean = static_cast<float>(sum / static_cast<double>(rows));
}

template <class T>
void launch_rows(DeviceContext& context, const RowArguments<T>& arguments, std::int64_t rows) {
  const auto run = [&](auto n) {
    launch(context, row_loss<T, n()>, static_cast<unsigned>(rows), kThreads, 0, arguments);
  };
  if (arguments.width % kPack<T> == 0) {
    run(std::integral_constant<int, kPack<T>>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

void launch_mean(DeviceContext& context, const Tensor& loss, const Tensor& losses) {
  launch(context, mean_of, 1u, kThreads, 0, loss.as<float>(), losses.as<float>(), losses.count());
}

/// Both fused ops: chunk by chunk the logits, their losses and gradients, and the products with those.
template <class T>
void classify(DeviceContext& context, const OpCall& call, const Tensor& dx, const Tensor& dw, Mode dw_mode) {
  using namespace classifier_ports;
  const Tensor &x = call.in[kX], &w = call.in[kW];
  const std::int64_t rows = x.shape().rows(), features = x.shape()[-1], width = w.shape()[0];
  const std::int64_t vocab = call.attributes.integer("vocab"), chunk = classifier_chunk_rows(rows, width, sizeof(T));
  CudaContext& cuda = *context.cuda;
  const DType dtype = x.type.dtype;
  T* const logits = static_cast<T*>(context.scratch.data);
  if (dw && dw_mode == Mode::write && vocab < width) {  // padding rows, which no product writes
    float* const padding = dw.as<float>() + vocab * features;
    cuda.device->fill(padding, 0, static_cast<std::size_t>((width - vocab) * features) * sizeof(float), cuda.stream);
  }
  for (std::int64_t first = 0; first < rows; first += chunk) {
    const std::int64_t here = first + chunk < rows ? chunk : rows - first;
    T* const features_here = x.as<T>() + first * features;
    Matmul forward{.m = here, .n = vocab, .k = features, .operands = dtype, .result = dtype};
    forward.a = {.data = features_here, .row = features};
    forward.b = {.data = w.data, .row = features, .transposed = true};
    forward.c = {.data = logits, .row = width};
    forward.tf32 = cuda.tf32;
    cuda.device->matmul(forward, cuda.stream);
    launch_rows<T>(context,
                   {.logits = logits,
                    .gradient = dx || dw ? logits : nullptr,
                    .targets = call.in[kTargets].as<std::int32_t>() + first,
                    .losses = call.out[kLosses].as<float>() + first,
                    .vocab = vocab,
                    .width = width,
                    .factor = static_cast<float>(gradient_scale(call.attributes) / static_cast<double>(rows))},
                   here);
    if (dx) {
      Matmul product{.m = here, .n = features, .k = vocab, .operands = dtype, .result = dtype};
      product.a = {.data = logits, .row = width};
      product.b = {.data = w.data, .row = features};
      product.c = {.data = dx.as<T>() + first * features, .row = features};
      product.tf32 = cuda.tf32;
      cuda.device->matmul(product, cuda.stream);
    }
    if (dw) {
      Matmul product{.m = vocab, .n = features, .k = here, .operands = dtype, .result = DType::f32};
      product.a = {.data = logits, .row = width, .transposed = true};
      product.b = {.data = features_here, .row = features};
      product.c = {.data = dw.data, .row = features};
      product.beta = first > 0 || dw_mode == Mode::accumulate ? 1.0f : 0.0f;
      product.tf32 = cuda.tf32;
      cuda.device->matmul(product, cuda.stream);
    }
  }
  launch_mean(context, call.out[kLoss], call.out[kLosses]);
}

}  // namespace

void classifier_cuda(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0].type.dtype, [&]<class T>(T) { classify<T>(context, call, {}, {}, Mode::skip); });
}

void classifier_gradient_cuda(DeviceContext& context, const OpCall& call) {
  using namespace classifier_ports;
  with_real(call.in[0].type.dtype,
            [&]<class T>(T) { classify<T>(context, call, call.out[kDx], call.out[kDw], call.mode[kDw]); });
}

void cross_entropy_cuda(DeviceContext& context, const OpCall& call) {
  using namespace cross_entropy_ports;
  const Tensor& logits = call.in[kLogits];
  with_real(logits.type.dtype, [&]<class T>(T) {
    launch_rows<T>(context,
                   {.logits = logits.as<T>(),
                    .gradient = nullptr,
                    .targets = call.in[kTargets].as<std::int32_t>(),
                    .losses = call.out[kLosses].as<float>(),
                    .vocab = call.attributes.integer("vocab"),
                    .width = logits.shape()[-1],
                    .factor = 0},
                   logits.shape().rows());
  });
  launch_mean(context, call.out[kLoss], call.out[kLosses]);
}

void cross_entropy_backward_cuda(DeviceContext& context, const OpCall& call) {
  using namespace cross_entropy_ports;
  const Tensor& logits = call.in[kLogits];
  const std::int64_t rows = logits.shape().rows();
  with_real(logits.type.dtype, [&]<class T>(T) {
    launch_rows<T>(context,
                   {.logits = logits.as<T>(),
                    .gradient = call.out[kDlogits].as<T>(),
                    .targets = call.in[kTargets].as<std::int32_t>(),
                    .losses = nullptr,
                    .vocab = call.attributes.integer("vocab"),
                    .width = logits.shape()[-1],
                    .factor = static_cast<float>(gradient_scale(call.attributes) / static_cast<double>(rows))},
                   rows);
  });
}

}  // namespace isoloss
