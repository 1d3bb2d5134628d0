#include "kernels/ops/linear/linear.h"

#include "kernels/core/reference.h"

namespace isoloss {

using namespace linear_ports;

namespace {

template <class T>
void forward(const OpCall& call) {
  const LinearSizes size(call.in[kX].shape(), call.in[kW].shape(), call.attributes);
  const T* x = call.in[kX].as<T>();        // [M,K]
  const T* w = call.in[kW].as<T>();        // [K,N] or [N,K]
  const T* bias = call.in[kBias].as<T>();  // [N] or null
  T* y = call.out[kY].as<T>();             // [M,N]
  T* pre = call.out[kPre].as<T>();         // [M,N] or null
  const std::int64_t step_k = size.transposed ? 1 : size.n, step_n = size.transposed ? size.k : 1;
  const Activation activation = linear_activation(call.attributes);
  for (std::int64_t row = 0; row < size.m; ++row) {
    for (std::int64_t column = 0; column < size.n; ++column) {
      T sum = 0;
      for (std::int64_t k = 0; k < size.k; ++k) sum += x[row * size.k + k] * w[k * step_k + column * step_n];
      if (bias != nullptr) sum += bias[column];
      if (pre != nullptr) pre[row * size.n + column] = sum;
      y[row * size.n + column] = activate(activation, sum);
    }
  }
}

template <class T>
void backward(const OpCall& call) {
  const LinearSizes size(call.in[kBackX].shape(), call.in[kBackW].shape(), call.attributes);
  const T* x = call.in[kBackX].as<T>();
  const T* w = call.in[kBackW].as<T>();
  const T* dy = call.in[kBackDy].as<T>();
  const std::int64_t step_k = size.transposed ? 1 : size.n, step_n = size.transposed ? size.k : 1;

  if (T* dpre = call.out[kDpre].as<T>(); dpre != nullptr) {
    const T* pre = call.in[kBackPre].as<T>();
    const Activation activation = linear_activation(call.attributes);
    for (std::int64_t i = 0; i < size.m * size.n; ++i) dpre[i] = dy[i] * activate_derivative(activation, pre[i]);
    dy = dpre;
  }
  if (call.mode[kDx] != Mode::skip) {
    T* dx = call.out[kDx].as<T>();
    for (std::int64_t row = 0; row < size.m; ++row) {
      for (std::int64_t k = 0; k < size.k; ++k) {
        T sum = 0;
        for (std::int64_t column = 0; column < size.n; ++column) {
          sum += dy[row * size.n + column] * w[k * step_k + column * step_n];
        }
        store(dx[row * size.k + k], sum, call.mode[kDx]);
      }
    }
  }
  if (call.mode[kDw] != Mode::skip) {
    T* dw = call.out[kDw].as<T>();
    for (std::int64_t k = 0; k < size.k; ++k) {
      for (std::int64_t column = 0; column < size.n; ++column) {
        T sum = 0;
        for (std::int64_t row = 0; row < size.m; ++row) sum += x[row * size.k + k] * dy[row * size.n + column];
        store(dw[k * step_k + column * step_n], sum, call.mode[kDw]);
      }
    }
  }
  if (call.mode[kDbias] != Mode::skip) {
    T* dbias = call.out[kDbias].as<T>();
    for (std::int64_t column = 0; column < size.n; ++column) {
      T sum = 0;
      for (std::int64_t row = 0; row < size.m; ++row) sum += dy[row * size.n + column];
      store(dbias[column], sum, call.mode[kDbias]);
    }
  }
}

}  // namespace

void linear_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[kX], [&]<class T>(T) { forward<T>(call); });
}

void linear_backward_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[kBackX], [&]<class T>(T) { backward<T>(call); });
}

}  // namespace isoloss
