#include "kernels/ops/classifier/classifier.h"

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/reference.h"
#include "kernels/ops/softcap/softcap.h"

namespace isoloss {

namespace {

/// Loss of one row of `logits` [V]; with `gradient` [V] also d(loss · factor) / d(logits), which may be the same array.
/// `cap` > 0 caps the logits first.
template <class T>
T row_loss(const T* logits, std::int64_t vocab, std::int32_t target, T factor, T cap, T* gradient) {
  const bool valid = target >= 0 && target < vocab;
  const auto logit = [&](std::int64_t v) { return cap > 0 ? softcap(logits[v], cap) : logits[v]; };
  T largest = logit(0);
  for (std::int64_t v = 1; v < vocab; ++v) largest = largest < logit(v) ? logit(v) : largest;
  T sum = 0;
  for (std::int64_t v = 0; v < vocab; ++v) sum += std::exp(logit(v) - largest);
  const T loss = valid ? std::log(sum) + largest - logit(target) : std::numeric_limits<T>::quiet_NaN();
  if (gradient != nullptr) {
    for (std::int64_t v = 0; v < vocab; ++v) {
      const T flow = (std::exp(logit(v) - largest) / sum - (v == target ? T(1) : T(0))) * factor;
      gradient[v] = cap > 0 ? flow * softcap_slope(logit(v), cap) : flow;
    }
  }
  return loss;
}

template <class T>
T cap_of(const OpCall& call) {
  return static_cast<T>(logit_softcap(call.attributes));
}

/// Both halves of the fused op: with no dx and dw wanted it is the forward op.
template <class T>
void classify(const OpCall& call, Mode dx_mode, Mode dw_mode) {
  using namespace classifier_ports;
  const Shape& shape = call.in[kX].shape();
  const std::int64_t rows = shape.rows(), features = shape[-1];
  const std::int64_t vocab = call.attributes.integer("vocab");
  const T* x = call.in[kX].as<T>();  // [N,C]
  const T* w = call.in[kW].as<T>();  // [V',C]
  const auto* targets = call.in[kTargets].as<std::int32_t>();
  T* losses = call.out[kLosses].as<T>();
  const T factor = static_cast<T>(gradient_scale(call.attributes) / static_cast<double>(rows));
  T* dx = dx_mode == Mode::skip ? nullptr : call.out[kDx].as<T>();
  T* dw = dw_mode == Mode::skip ? nullptr : call.out[kDw].as<T>();
  std::vector<T> all(static_cast<std::size_t>(rows * vocab));  // [N,V] logits, then their gradients
  T* const dlogits = dx != nullptr || dw != nullptr ? all.data() : nullptr;
  for (std::int64_t row = 0; row < rows; ++row) {
    T* const logits = all.data() + row * vocab;
    for (std::int64_t v = 0; v < vocab; ++v) {
      T sum = 0;
      for (std::int64_t c = 0; c < features; ++c) sum += x[row * features + c] * w[v * features + c];
      logits[v] = sum;
    }
    losses[row] = row_loss(logits, vocab, targets[row], factor, cap_of<T>(call), dlogits != nullptr ? logits : nullptr);
  }
  if (dx != nullptr) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t c = 0; c < features; ++c) {
        T sum = 0;
        for (std::int64_t v = 0; v < vocab; ++v) sum += dlogits[row * vocab + v] * w[v * features + c];
        dx[row * features + c] = sum;
      }
    }
  }
  if (dw != nullptr) {
    for (std::int64_t v = 0; v < call.in[kW].shape()[0]; ++v) {
      for (std::int64_t c = 0; c < features; ++c) {
        T sum = 0;
        for (std::int64_t row = 0; row < rows && v < vocab; ++row) {
          sum += dlogits[row * vocab + v] * x[row * features + c];
        }
        store(dw[v * features + c], sum, dw_mode);
      }
    }
  }
  *call.out[kLoss].as<T>() = mean_loss(losses, rows);
}

}  // namespace

void classifier_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) { classify<T>(call, Mode::skip, Mode::skip); });
}

void classifier_gradient_ref(DeviceContext&, const OpCall& call) {
  using namespace classifier_ports;
  with_real(call.in[0], [&]<class T>(T) { classify<T>(call, call.mode[kDx], call.mode[kDw]); });
}

void cross_entropy_ref(DeviceContext&, const OpCall& call) {
  using namespace cross_entropy_ports;
  with_real(call.in[kLogits], [&]<class T>(T) {
    const Shape& shape = call.in[kLogits].shape();
    const T* logits = call.in[kLogits].as<T>();
    T* losses = call.out[kLosses].as<T>();
    for (std::int64_t row = 0; row < shape.rows(); ++row) {
      losses[row] = row_loss<T>(logits + row * shape[-1], call.attributes.integer("vocab"),
                                call.in[kTargets].as<std::int32_t>()[row], T(1), cap_of<T>(call), nullptr);
    }
    *call.out[kLoss].as<T>() = mean_loss(losses, shape.rows());
  });
}

void cross_entropy_backward_ref(DeviceContext&, const OpCall& call) {
  using namespace cross_entropy_ports;
  with_real(call.in[kLogits], [&]<class T>(T) {
    const Shape& shape = call.in[kLogits].shape();
    const std::int64_t width = shape[-1], vocab = call.attributes.integer("vocab");
    const T factor = static_cast<T>(gradient_scale(call.attributes) / static_cast<double>(shape.rows()));
    for (std::int64_t row = 0; row < shape.rows(); ++row) {
      T* gradient = call.out[kDlogits].as<T>() + row * width;
      row_loss<T>(call.in[kLogits].as<T>() + row * width, vocab, call.in[kTargets].as<std::int32_t>()[row], factor,
                  cap_of<T>(call), gradient);
      for (std::int64_t v = vocab; v < width; ++v) gradient[v] = 0;
    }
  });
}

}  // namespace isoloss
