#include "kernels/ops/classifier/classifier.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm.h"
#include "kernels/ops/softcap/softcap_vec.h"

namespace isoloss {

namespace {

// Logits that exist at a time. Every chunk reads all of w twice and reads and writes all of dw, so few large chunks
// are fast; 512 rows at 50,304 logits are 103 MB.
constexpr std::int64_t kMaxLogitBytes = std::int64_t{32} << 20;
constexpr std::int64_t kRowsAtLeast = 512;

/// Four independent sums hide the latency of an addition; they are combined in a fixed order.
constexpr int kLanes = 4;

float largest_of(const float* logits, std::int64_t vocab) {
  Vec largest[kLanes];
  std::fill(std::begin(largest), std::end(largest), Vec(-std::numeric_limits<float>::infinity()));
  std::int64_t v = 0;
  for (; v + kLanes * kVecWidth <= vocab; v += kLanes * kVecWidth) {
    for (int lane = 0; lane < kLanes; ++lane) {
      largest[lane] = max_number(Vec::load(logits + v + lane * kVecWidth), largest[lane]);
    }
  }
  float most = max_number_lane(max_number(max_number(largest[0], largest[1]), max_number(largest[2], largest[3])));
  for (; v < vocab; ++v) most = most < logits[v] ? logits[v] : most;
  return most;
}

/// Logits as they come. What a second pass over a row wants is the exponential, which is dear.
struct AsTheyCome {
  static constexpr bool kKeepsLogit = false;
  explicit AsTheyCome(float) {}
  Vec operator()(Vec logit) const { return logit; }
};

/// Logits under a soft cap, whose slope a second pass takes from the capped logit.
struct Capped : VecSoftcap {
  static constexpr bool kKeepsLogit = true;
  using VecSoftcap::VecSoftcap;
};

/// Σ exp(logit - largest); the terms, or what logits have become, go to `kept` unless that is null. NaN anywhere makes
/// the sum NaN.
template <class Map>
float sum_of_exponentials(const float* logits, std::int64_t vocab, float largest, const Map& map, float* kept) {
  Vec sums[kLanes];
  std::fill(std::begin(sums), std::end(sums), Vec(0.0f));
  const auto add = [&](std::int64_t v, Vec& sum, auto lanes) {
    const Vec logit = map(load(logits + v, lanes)), term = exp(logit - largest);
    if (kept != nullptr) store(Map::kKeepsLogit ? logit : term, kept + v, lanes);
    sum += zero_beyond(term, lanes);
  };
  std::int64_t v = 0;
  for (; v + kLanes * kVecWidth <= vocab; v += kLanes * kVecWidth) {
    for (int lane = 0; lane < kLanes; ++lane) add(v + lane * kVecWidth, sums[lane], WholeVec{});
  }
  for_each_vec(v, vocab, [&](std::int64_t at, auto lanes) { add(at, sums[0], lanes); });
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/// Loss of one row of `logits` [V]; with `gradient` [V] also d(loss · factor) / d(logits), which may be the same array.
/// The row is read from memory once; later passes find it in the second-level cache.
template <class Map>
float row_loss(const float* logits, std::int64_t vocab, std::int32_t target, float factor, const Map& map,
               float* gradient) {
  const bool valid = target >= 0 && target < vocab;
  const float target_logit = valid ? map(logits[target])[0] : std::numeric_limits<float>::quiet_NaN();
  const float largest = map(largest_of(logits, vocab))[0];  // every map rises
  const float sum = sum_of_exponentials(logits, vocab, largest, map, gradient);
  if (gradient != nullptr) {
    const Vec share(factor / sum);
    float slope = 1;
    for_each_vec(0, vocab, [&](std::int64_t v, auto lanes) {
      const Vec kept = load(gradient + v, lanes);
      if constexpr (Map::kKeepsLogit) {
        store(exp(kept - largest) * share * map.slope(kept), gradient + v, lanes);
      } else {
        store(kept * share, gradient + v, lanes);
      }
    });
    if constexpr (Map::kKeepsLogit) slope = map.slope(target_logit)[0];
    if (valid) gradient[target] = (std::exp(target_logit - largest) / sum - 1.0f) * factor * slope;
  }
  return std::log(sum) + largest - target_logit;
}

/// Rows of logits a task should have, so that a task is worth its start.
constexpr std::int64_t kLogitsPerTask = 16384;

template <class Map>
void losses_of_rows(const float* logits, std::int64_t width, std::int64_t rows, std::int64_t vocab,
                    const std::int32_t* targets, float factor, const Map& map, float* losses, float* gradients) {
  const std::int64_t grain = std::max<std::int64_t>(1, kLogitsPerTask / vocab);
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      float* const gradient = gradients != nullptr ? gradients + row * width : nullptr;
      const float loss = row_loss(logits + row * width, vocab, targets[row], factor, map, gradient);
      if (losses != nullptr) losses[row] = loss;
      if (gradient != nullptr) std::fill(gradient + vocab, gradient + width, 0.0f);
    }
  });
}

/// body(map): what the attributes say happens to logits.
template <class Body>
void with_logit_map(const Attributes& attributes, Body&& body) {
  const auto cap = static_cast<float>(logit_softcap(attributes));
  if (cap > 0) {
    body(Capped(cap));
  } else {
    body(AsTheyCome(cap));
  }
}

struct Sizes {
  std::int64_t rows, features, vocab;
  std::int64_t width;  // distance between rows of logits in scratch
  std::int64_t chunk;  // rows of logits in scratch

  Sizes(const Shape& x, const Attributes& attributes)
      : rows(x.rows()), features(x[-1]), vocab(attributes.integer("vocab")) {
    width = (vocab + kVecWidth - 1) / kVecWidth * kVecWidth;
    const std::int64_t most = std::max(kRowsAtLeast, kMaxLogitBytes / (width * 4));
    const std::int64_t chunks = std::max<std::int64_t>(1, (rows + most - 1) / most);
    chunk = (rows + chunks - 1) / chunks;
  }
  std::int64_t logits() const { return chunk * width; }
};

void classify(DeviceContext& context, const OpCall& call, Mode dx_mode, Mode dw_mode) {
  using namespace classifier_ports;
  const Sizes size(call.in[kX].shape(), call.attributes);
  const auto* x = call.in[kX].as<float>();  // [N,C]
  const auto* w = call.in[kW].as<float>();  // [V',C]
  const auto* targets = call.in[kTargets].as<std::int32_t>();
  auto* losses = call.out[kLosses].as<float>();
  auto* const logits = static_cast<float*>(context.scratch.data);
  float* const scratch = logits + (size.logits() + 15) / 16 * 16;
  const bool gradient = dx_mode != Mode::skip || dw_mode != Mode::skip;
  const auto factor = static_cast<float>(gradient_scale(call.attributes) / static_cast<double>(size.rows));

  for (std::int64_t row = 0; row < size.rows; row += size.chunk) {
    const std::int64_t rows = std::min(size.chunk, size.rows - row);
    const float* const x_rows = x + row * size.features;
    gemm({.m = rows,
          .n = size.vocab,
          .k = size.features,
          .a = x_rows,
          .lda = size.features,
          .b = w,
          .ldb = size.features,
          .transpose_b = true,
          .c = logits,
          .ldc = size.width},
         scratch);
    with_logit_map(call.attributes, [&](const auto& map) {
      losses_of_rows(logits, size.width, rows, size.vocab, targets + row, factor, map, losses + row,
                     gradient ? logits : nullptr);
    });
    if (dx_mode != Mode::skip) {
      gemm({.m = rows,
            .n = size.features,
            .k = size.vocab,
            .a = logits,
            .lda = size.width,
            .b = w,
            .ldb = size.features,
            .c = call.out[kDx].as<float>() + row * size.features,
            .ldc = size.features},
           scratch);
    }
    if (dw_mode != Mode::skip) {
      gemm({.m = size.vocab,
            .n = size.features,
            .k = rows,
            .a = logits,
            .lda = size.width,
            .transpose_a = true,
            .b = x_rows,
            .ldb = size.features,
            .c = call.out[kDw].as<float>(),
            .ldc = size.features,
            .accumulate = row > 0 || dw_mode == Mode::accumulate},
           scratch);
    }
  }
  if (dw_mode == Mode::write) {
    auto* const dw = call.out[kDw].as<float>();
    std::fill(dw + size.vocab * size.features, dw + call.in[kW].count(), 0.0f);
  }
  *call.out[kLoss].as<float>() = mean_loss(losses, size.rows);
}

}  // namespace

std::size_t classifier_cpu_scratch(const OpTypes& types, int threads, bool gradient) {
  using namespace classifier_ports;
  const Sizes size(types.in[kX].shape, types.attributes);
  std::size_t products = 0;
  // The last chunk may be shorter than the others, and a shorter product may be cut in a way that packs more.
  const std::int64_t last = size.rows > 0 ? size.rows - (size.rows - 1) / size.chunk * size.chunk : 0;
  for (const std::int64_t rows : {size.chunk, last}) {
    products = std::max(products,
                        gemm_scratch({.m = rows, .n = size.vocab, .k = size.features, .transpose_b = true}, threads));
    if (gradient) {
      products =
          std::max({products, gemm_scratch({.m = rows, .n = size.features, .k = size.vocab}, threads),
                    gemm_scratch({.m = size.vocab, .n = size.features, .k = rows, .transpose_a = true}, threads)});
    }
  }
  return static_cast<std::size_t>((size.logits() + 15) / 16 * 16) * sizeof(float) + products;
}

void classifier_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return classifier_ref(context, call);
  classify(context, call, Mode::skip, Mode::skip);
}

void classifier_gradient_cpu(DeviceContext& context, const OpCall& call) {
  using namespace classifier_ports;
  if (call.in[kX].type.dtype != DType::f32) return classifier_gradient_ref(context, call);
  classify(context, call, call.mode[kDx], call.mode[kDw]);
}

void cross_entropy_cpu(DeviceContext& context, const OpCall& call) {
  using namespace cross_entropy_ports;
  if (call.in[kLogits].type.dtype != DType::f32) return cross_entropy_ref(context, call);
  const Shape& shape = call.in[kLogits].shape();
  auto* losses = call.out[kLosses].as<float>();
  with_logit_map(call.attributes, [&](const auto& map) {
    losses_of_rows(call.in[kLogits].as<float>(), shape[-1], shape.rows(), call.attributes.integer("vocab"),
                   call.in[kTargets].as<std::int32_t>(), 1.0f, map, losses, nullptr);
  });
  *call.out[kLoss].as<float>() = mean_loss(losses, shape.rows());
}

void cross_entropy_backward_cpu(DeviceContext& context, const OpCall& call) {
  using namespace cross_entropy_ports;
  if (call.in[kLogits].type.dtype != DType::f32) return cross_entropy_backward_ref(context, call);
  const Shape& shape = call.in[kLogits].shape();
  const auto factor = static_cast<float>(gradient_scale(call.attributes) / static_cast<double>(shape.rows()));
  with_logit_map(call.attributes, [&](const auto& map) {
    losses_of_rows(call.in[kLogits].as<float>(), shape[-1], shape.rows(), call.attributes.integer("vocab"),
                   call.in[kTargets].as<std::int32_t>(), factor, map, nullptr, call.out[kDlogits].as<float>());
  });
}

}  // namespace isoloss
