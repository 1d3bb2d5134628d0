// Attention in plain loops, row by row: the specification.
#include "kernels/ops/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/reference.h"

namespace isoloss {

namespace {

template <class T>
T dot(const T* a, const T* b, std::int64_t n) {
  T sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
void add_scaled(T factor, const T* x, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

/// probabilities[k] of the keys first … last for one query, from keys `step` elements apart; returns log-sum-exp.
template <class T>
T softmax_row(const T* query, const T* keys, std::int64_t step, std::int64_t first, std::int64_t last, std::int64_t D,
              T scale, T* probabilities) {
  T largest = -std::numeric_limits<T>::infinity(), sum = 0;
  for (std::int64_t k = first; k <= last; ++k) {
    const T score = scale * dot(query, keys + k * step, D);
    probabilities[k] = score;
    if (score > largest || score != score) largest = score;
  }
  for (std::int64_t k = first; k <= last; ++k) {
    probabilities[k] = std::exp(probabilities[k] - largest);
    sum += probabilities[k];
  }
  for (std::int64_t k = first; k <= last; ++k) probabilities[k] /= sum;
  return largest + std::log(sum);
}

template <class T>
T factor(const AttentionDropout& dropout, std::int64_t b, std::int64_t h, std::int64_t q, std::int64_t k) {
  if (!dropout.mask) return 1;
  return dropout.mask->keep(dropout.element(b, h, q, k)) ? static_cast<T>(dropout.mask->scale) : T(0);
}

/// row(b, h, q, probabilities, lse) for every query, where `probabilities` has T entries and dead keys are 0.
template <class T, class Row>
void forward(const AttentionDims& dims, const AttentionDropout& dropout, const T* qkv, T* y, const Row& row) {
  std::vector<T> probabilities(static_cast<std::size_t>(dims.T));
  for (std::int64_t b = 0; b < dims.B; ++b) {
    for (std::int64_t h = 0; h < dims.H; ++h) {
      const T* tokens = qkv + b * dims.T * dims.token();
      const std::int64_t kv = h / dims.group();
      for (std::int64_t q = 0; q < dims.T; ++q) {
        std::fill(probabilities.begin(), probabilities.end(), T(0));
        const T lse = softmax_row(tokens + q * dims.token() + dims.query_at(h), tokens + dims.key_at(kv), dims.token(),
                                  dims.first_key(q), q, dims.D, static_cast<T>(dims.scale()), probabilities.data());
        T* out = y + ((b * dims.T + q) * dims.H + h) * dims.D;
        std::fill(out, out + dims.D, T(0));
        for (std::int64_t k = dims.first_key(q); k <= q; ++k) {
          const T weight = probabilities[static_cast<std::size_t>(k)] * factor<T>(dropout, b, h, q, k);
          add_scaled(weight, tokens + k * dims.token() + dims.value_at(kv), out, dims.D);
        }
        row(b, h, q, probabilities, lse);
      }
    }
  }
}

/// probability(b, h, q, k, score) and delta(b, h, q, dprobabilities) say how the two kinds recover what forward knew.
template <class T, class Probability, class Delta>
void backward(const AttentionDims& dims, const AttentionDropout& dropout, const T* qkv, const T* dy, T* dqkv,
              const Probability& probability, const Delta& delta) {
  std::fill(dqkv, dqkv + dims.B * dims.T * dims.token(), T(0));
  std::vector<T> p(static_cast<std::size_t>(dims.T)), dp(p.size());
  const T scale = static_cast<T>(dims.scale());
  for (std::int64_t b = 0; b < dims.B; ++b) {
    for (std::int64_t h = 0; h < dims.H; ++h) {
      const std::int64_t kv = h / dims.group();
      for (std::int64_t q = 0; q < dims.T; ++q) {
        const std::int64_t at = (b * dims.T + q) * dims.token() + dims.query_at(h);
        const T* dout = dy + ((b * dims.T + q) * dims.H + h) * dims.D;
        for (std::int64_t k = dims.first_key(q); k <= q; ++k) {
          const std::int64_t row = (b * dims.T + k) * dims.token();
          const auto i = static_cast<std::size_t>(k);
          p[i] = probability(b, h, q, k, scale * dot(qkv + at, qkv + row + dims.key_at(kv), dims.D));
          const T keep = factor<T>(dropout, b, h, q, k);
          dp[i] = keep * dot(dout, qkv + row + dims.value_at(kv), dims.D);
          add_scaled(keep * p[i], dout, dqkv + row + dims.value_at(kv), dims.D);
        }
        const T centre = delta(b, h, q, p, dp);
        for (std::int64_t k = dims.first_key(q); k <= q; ++k) {
          const std::int64_t key = (b * dims.T + k) * dims.token() + dims.key_at(kv);
          const T dscore = scale * p[static_cast<std::size_t>(k)] * (dp[static_cast<std::size_t>(k)] - centre);
          add_scaled(dscore, qkv + key, dqkv + at, dims.D);
          add_scaled(dscore, qkv + at, dqkv + key, dims.D);
        }
      }
    }
  }
}

template <class T>
void flash(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  T* saved = call.out[1].as<T>();
  forward(dims, AttentionDropout(call.attributes, *context.state, dims), call.in[0].as<T>(), call.out[0].as<T>(),
          [&](std::int64_t b, std::int64_t h, std::int64_t q, const std::vector<T>&, T lse) {
            if (call.mode[1] != Mode::skip) saved[(b * dims.H + h) * dims.T + q] = lse;
          });
}

template <class T>
void flash_backward(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const T *y = call.in[1].as<T>(), *lse = call.in[2].as<T>(), *dy = call.in[3].as<T>();
  backward(
      dims, AttentionDropout(call.attributes, *context.state, dims), call.in[0].as<T>(), dy, call.out[0].as<T>(),
      [&](std::int64_t b, std::int64_t h, std::int64_t q, std::int64_t, T score) {
        return std::exp(score - lse[(b * dims.H + h) * dims.T + q]);
      },
      [&](std::int64_t b, std::int64_t h, std::int64_t q, const std::vector<T>&, const std::vector<T>&) {
        const std::int64_t row = ((b * dims.T + q) * dims.H + h) * dims.D;
        return dot(dy + row, y + row, dims.D);
      });
}

template <class T>
void naive(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  T* saved = call.out[1].as<T>();
  forward(dims, AttentionDropout(call.attributes, *context.state, dims), call.in[0].as<T>(), call.out[0].as<T>(),
          [&](std::int64_t b, std::int64_t h, std::int64_t q, const std::vector<T>& probabilities, T) {
            if (call.mode[1] == Mode::skip) return;
            std::copy(probabilities.begin(), probabilities.end(), saved + ((b * dims.H + h) * dims.T + q) * dims.T);
          });
}

template <class T>
void naive_backward(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const T* probabilities = call.in[1].as<T>();
  backward(
      dims, AttentionDropout(call.attributes, *context.state, dims), call.in[0].as<T>(), call.in[2].as<T>(),
      call.out[0].as<T>(),
      [&](std::int64_t b, std::int64_t h, std::int64_t q, std::int64_t k, T) {
        return probabilities[((b * dims.H + h) * dims.T + q) * dims.T + k];
      },
      [&](std::int64_t, std::int64_t, std::int64_t q, const std::vector<T>& p, const std::vector<T>& dp) {
        const std::int64_t first = dims.first_key(q);
        return dot(p.data() + first, dp.data() + first, q - first + 1);
      });
}

template <class T>
void cached(DeviceContext& context, const OpCall& call) {
  const AttentionDims dims(call.attributes, call.in[0].shape());
  const std::int64_t positions = call.in[1].shape()[1], position = context.state->position;
  expect_cache_room(position, positions);
  const std::int64_t row = 2 * dims.K * dims.D;
  std::vector<T> probabilities(static_cast<std::size_t>(positions));
  for (std::int64_t b = 0; b < dims.B; ++b) {
    const T* token = call.in[0].as<T>() + b * dims.token();
    T* cache = call.in[1].as<T>() + b * positions * row;
    std::copy(token + dims.key_at(0), token + dims.token(), cache + position * row);
    for (std::int64_t h = 0; h < dims.H; ++h) {
      const T *keys = cache + h / dims.group() * dims.D, *values = keys + dims.K * dims.D;
      softmax_row(token + dims.query_at(h), keys, row, dims.first_key(position), position, dims.D,
                  static_cast<T>(dims.scale()), probabilities.data());
      T* out = call.out[0].as<T>() + (b * dims.H + h) * dims.D;
      std::fill(out, out + dims.D, T(0));
      for (std::int64_t k = dims.first_key(position); k <= position; ++k) {
        add_scaled(probabilities[static_cast<std::size_t>(k)], values + k * row, out, dims.D);
      }
    }
  }
}

}  // namespace

void attention_flash_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&](auto zero) { flash<decltype(zero)>(context, call); });
}
void attention_flash_backward_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&](auto zero) { flash_backward<decltype(zero)>(context, call); });
}
void attention_naive_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&](auto zero) { naive<decltype(zero)>(context, call); });
}
void attention_naive_backward_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&](auto zero) { naive_backward<decltype(zero)>(context, call); });
}
void attention_cached_ref(DeviceContext& context, const OpCall& call) {
  with_real(call.in[0], [&](auto zero) { cached<decltype(zero)>(context, call); });
}

}  // namespace isoloss
