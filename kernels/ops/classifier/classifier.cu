#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/ops/classifier/classifier.h"
#include "kernels/ops/classifier/classifier_cuda.h"
#include "kernels/ops/softcap/softcap.cuh"

namespace isoloss {

namespace {

constexpr int kThreads = 512;
constexpr std::size_t kMostHeld = 110 * 1024;  // of a row in shared memory: two blocks fit a multiprocessor of sm_90
constexpr float kLn2 = 0.6931471805599453f;

/// Logits as they come.
struct AsTheyCome {
  DEVICE float operator()(float logit) const { return logit; }
  DEVICE float slope(float) const { return 1.0f; }
};

/// Map: what happens to a logit before it counts, AsTheyCome or DeviceSoftcap.
template <class T, class Map>
struct RowArguments {
  const T* logits;  ///< [rows, width]
  T* gradient;      ///< may be logits; null: not wanted
  const std::int32_t* targets;
  float* losses;  ///< null: not wanted
  int vocab, width;
  float factor;
  Map map;
};

/// What one thread has seen of a row: its largest logit and the sum of 2^(logit · log2(e) - shift), where shift belongs
/// to the largest. While there was nothing but -inf, shift is -inf as well and the sum 0.
struct Partial {
  float largest = -INFINITY, shift = -INFINITY, sum = 0;
};

/// The shift that exponents can be taken relative to: -inf - -inf would be NaN.
DEVICE float finite_shift(float largest) { return largest == -INFINITY ? 0.0f : largest * kLog2E; }

/// Adds a pack. The maximum drops a NaN, but its exponential is in the sum.
template <class T, int n, class Map>
DEVICE void add_pack(Partial& own, const Pack<T, n>& pack, int at, int vocab, const Map& map) {
  float value[n];
  UNROLL for (int i = 0; i < n; ++i) value[i] = map(pack.get(i));
  if (at + n > vocab) {  // the last columns are padding
    UNROLL for (int i = 0; i < n; ++i) value[i] = at + i < vocab ? value[i] : -INFINITY;
  }
  UNROLL for (int i = 0; i < n; ++i) own.largest = fmaxf(own.largest, value[i]);
  const float shift = finite_shift(own.largest);
  own.sum *= exp2_approx(own.shift - shift);
  UNROLL for (int i = 0; i < n; ++i) own.sum += exp2_approx(fmaf(value[i], kLog2E, -shift));
  own.shift = own.largest == -INFINITY ? -INFINITY : shift;
}

/// A block a row. `held`: the row lies in shared memory from its one read to its one write, and every thread works on
/// what it has copied itself; else it is read twice, the second time mostly from the cache.
template <class T, int n, bool held, class Map>
__global__ void __launch_bounds__(kThreads, 2) row_loss(const __grid_constant__ RowArguments<T, Map> p) {
  using Lanes = Pack<T, n>;
  DYNAMIC_SHARED(T, copy);  // [width] where held
  const std::int64_t row = blockIdx.x;
  const T* const logits = p.logits + row * p.width;
  const int first = static_cast<int>(threadIdx.x) * n, step = static_cast<int>(blockDim.x) * n;
  const int half = p.width / step / 2 * step + first;  // where the second group of copies starts
  if constexpr (held) {
    for (int v = first; v < half; v += step) copy_async(copy + v, logits + v, true);
    commit_copies();
    for (int v = half; v < p.width; v += step) copy_async(copy + v, logits + v, true);
    commit_copies();
  }
  const std::int32_t target = p.targets[row];
  const bool valid = target >= 0 && target < p.vocab;
  const float of_target = valid ? p.map(to_float(logits[target])) : 0.0f;
  const T* const from = held ? copy : logits;
  Partial own;
  if constexpr (held) wait_copies<1>();
  for (int v = first; v < half; v += step) add_pack(own, Lanes::load(from + v), v, p.vocab, p.map);
  if constexpr (held) wait_copies<0>();
  for (int v = half; v < p.vocab; v += step) add_pack(own, Lanes::load(from + v), v, p.vocab, p.map);
  const float largest = row_max(own.largest), shift = finite_shift(largest);
  const float sum = row_sum(own.sum * exp2_approx(own.shift - shift));
  if (threadIdx.x == 0 && p.losses != nullptr) {
    const float rounded = fmaf(largest, kLog2E, -shift);  // what the shift lacks
    p.losses[row] = valid ? logf(sum) - rounded * kLn2 + (largest - of_target) : NAN;
  }
  if (p.gradient == nullptr) return;
  __syncwarp();  // the gradient may stand where the target's logit was read, and one warp alone has met no barrier
  const float scale = p.factor / sum;
  T* const gradient = p.gradient + row * p.width;
  for (int v = first; v < p.width; v += step) {
    const Lanes pack = Lanes::load(from + v);
    float value[n];
    float logit[n];
    UNROLL for (int i = 0; i < n; ++i) logit[i] = p.map(pack.get(i));
    UNROLL for (int i = 0; i < n; ++i) value[i] = exp2_approx(fmaf(logit[i], kLog2E, -shift)) * scale;
    if (target >= v && target < v + n) {
      UNROLL for (int i = 0; i < n; ++i) value[i] -= v + i == target ? p.factor : 0.0f;
    }
    UNROLL for (int i = 0; i < n; ++i) value[i] *= p.map.slope(logit[i]);
    if (v + n > p.vocab) {
      UNROLL for (int i = 0; i < n; ++i) value[i] = v + i < p.vocab ? value[i] : 0.0f;
    }
    Lanes::of(value).store(gradient + v);
  }
}

__global__ void __launch_bounds__(kThreads) mean_of(float* mean, const float* losses, std::int64_t rows) {
  double sum = 0;
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) sum += static_cast<double>(losses[row]);
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) *mean = static_cast<float>(sum / static_cast<double>(rows));
}

template <class T, class Map>
void launch_rows(DeviceContext& context, const RowArguments<T, Map>& arguments, std::int64_t rows) {
  const std::size_t bytes = static_cast<std::size_t>(arguments.width) * sizeof(T);
  const auto run = [&](auto n, auto held) {
    // Eight packs a thread and more, so that small vocabularies do not make threads idle.
    const std::int64_t threads = blocks_for(blocks_for(arguments.width, n() * 8), kWarp) * kWarp;
    launch(context, row_loss<T, n(), held(), Map>, static_cast<unsigned>(rows),
           static_cast<unsigned>(threads < kThreads ? threads : kThreads), held() ? bytes : 0, arguments);
  };
  constexpr std::integral_constant<int, kPack<T>> kWhole{};
  if (arguments.width % kPack<T> != 0) {
    run(std::integral_constant<int, 1>{}, std::false_type{});
  } else if (bytes <= kMostHeld && bytes <= most_shared(row_loss<T, kPack<T>, true, Map>)) {
    run(kWhole, std::true_type{});
  } else {
    run(kWhole, std::false_type{});
  }
}

/// body(map): what the attributes say happens to logits.
template <class Body>
void with_logit_map(const Attributes& attributes, Body&& body) {
  const auto cap = static_cast<float>(logit_softcap(attributes));
  if (cap > 0) {
    body(DeviceSoftcap{cap, 1.0f / cap});
  } else {
    body(AsTheyCome{});
  }
}

/// The same of the arguments as they are told, but for the map.
template <class T>
struct Rows {
  const T* logits;
  T* gradient;
  const std::int32_t* targets;
  float* losses;
  std::int64_t vocab, width;
  double factor;
};

template <class T>
void launch_rows(DeviceContext& context, const Attributes& attributes, const Rows<T>& rows, std::int64_t count) {
  with_logit_map(attributes, [&]<class Map>(const Map& map) {
    launch_rows<T, Map>(context,
                        {rows.logits, rows.gradient, rows.targets, rows.losses, static_cast<int>(rows.vocab),
                         static_cast<int>(rows.width), static_cast<float>(rows.factor), map},
                        count);
  });
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
  const std::int64_t vocab = call.attributes.integer("vocab");
  const std::int64_t chunk = classifier_chunk_rows(rows, width, sizeof(T), classifier_logits_bytes(call.attributes));
  CudaContext& cuda = *context.cuda;
  const DType dtype = x.type.dtype;
  T* const logits = static_cast<T*>(context.scratch.data);
  // The products run over the padding too: with vocab columns, odd as a rule, no row of a tile would be aligned. The
  // padding's logits are ignored, their gradients are zero.
  for (std::int64_t first = 0; first < rows; first += chunk) {
    const std::int64_t here = first + chunk < rows ? chunk : rows - first;
    T* const features_here = x.as<T>() + first * features;
    Matmul forward{.m = here, .n = width, .k = features, .operands = dtype, .result = dtype};
    forward.a = {.data = features_here, .row = features};
    forward.b = transposed({.data = w.data, .row = features});
    forward.c = {.data = logits, .row = width};
    forward.tf32 = cuda.tf32;
    cuda.device->matmul(forward, cuda.stream);
    launch_rows<T>(context, call.attributes,
                   {.logits = logits,
                    .gradient = dx || dw ? logits : nullptr,
                    .targets = call.in[kTargets].as<std::int32_t>() + first,
                    .losses = call.out[kLosses].as<float>() + first,
                    .vocab = vocab,
                    .width = width,
                    .factor = gradient_scale(call.attributes) / static_cast<double>(rows)},
                   here);
    if (dx) {
      Matmul product{.m = here, .n = features, .k = width, .operands = dtype, .result = dtype};
      product.a = {.data = logits, .row = width};
      product.b = {.data = w.data, .row = features};
      product.c = {.data = dx.as<T>() + first * features, .row = features};
      product.tf32 = cuda.tf32;
      cuda.device->matmul(product, cuda.stream);
    }
    if (dw) {
      Matmul product{.m = width, .n = features, .k = here, .operands = dtype, .result = DType::f32};
      product.a = transposed({.data = logits, .row = width});
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
    launch_rows<T>(context, call.attributes,
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
    launch_rows<T>(context, call.attributes,
                   {.logits = logits.as<T>(),
                    .gradient = call.out[kDlogits].as<T>(),
                    .targets = call.in[kTargets].as<std::int32_t>(),
                    .losses = nullptr,
                    .vocab = call.attributes.integer("vocab"),
                    .width = logits.shape()[-1],
                    .factor = gradient_scale(call.attributes) / static_cast<double>(rows)},
                   rows);
  });
}

}  // namespace isoloss
