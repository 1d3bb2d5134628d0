#include "kernels/ops/rmsnorm/rmsnorm.h"

#include <cmath>

#include "kernels/core/reference.h"

namespace isoloss {

namespace {

template <class T>
void norm_rows(const OpCall& call, const T* x, const Tensor& w, int first_output) {
  const std::int64_t width = w.count();
  const T epsilon = static_cast<T>(call.attributes.real("epsilon"));
  T* y = call.out[static_cast<std::size_t>(first_output)].as<T>();
  T* rstds = call.out[static_cast<std::size_t>(first_output + 1)].as<T>();
  for (std::int64_t row = 0; row < call.in[0].shape().rows(); ++row, x += width, y += width) {
    T squares = 0;
    for (std::int64_t c = 0; c < width; ++c) squares += x[c] * x[c];
    const T rstd = T(1) / std::sqrt(squares / static_cast<T>(width) + epsilon);
    for (std::int64_t c = 0; c < width; ++c) y[c] = x[c] * rstd * w.as<T>()[c];
    if (rstds != nullptr) rstds[row] = rstd;
  }
}

}  // namespace

void rmsnorm_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) { norm_rows(call, call.in[0].as<T>(), call.in[1], 0); });
}

void add_rmsnorm_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T *x = call.in[0].as<T>(), *branch = call.in[1].as<T>();
    T* sum = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) sum[i] = x[i] + branch[i];
    norm_rows<T>(call, sum, call.in[2], 1);
  });
}

void rmsnorm_backward_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const std::int64_t width = call.in[1].count(), rows = call.in[0].shape().rows();
    const T *x = call.in[0].as<T>(), *w = call.in[1].as<T>(), *rstd = call.in[2].as<T>(), *dy = call.in[3].as<T>();
    const Tensor &dx = call.out[0], &dw = call.out[1];
    for (std::int64_t row = 0; dx && row < rows; ++row) {
      T along_normal = 0;
      for (std::int64_t c = 0; c < width; ++c)
        along_normal += dy[row * width + c] * w[c] * x[row * width + c] * rstd[row];
      along_normal /= static_cast<T>(width);
      for (std::int64_t c = 0; c < width; ++c) {
        const T normal = x[row * width + c] * rstd[row];
        store(dx.as<T>()[row * width + c], (dy[row * width + c] * w[c] - normal * along_normal) * rstd[row],
              call.mode[0]);
      }
    }
    for (std::int64_t c = 0; dw && c < width; ++c) {
      T to_w = 0;
      for (std::int64_t row = 0; row < rows; ++row) to_w += dy[row * width + c] * x[row * width + c] * rstd[row];
      store(dw.as<T>()[c], to_w, call.mode[1]);
    }
  });
}

}  // namespace isoloss
