#include "kernels/ops/layernorm/layernorm.h"

#include <cmath>

#include "kernels/core/reference.h"

namespace isoloss {

namespace {

template <class T>
void norm_rows(const OpCall& call, const T* x, const Tensor& w, const Tensor& b, int first_output) {
  const std::int64_t width = w.count();
  const T epsilon = static_cast<T>(call.attributes.real("epsilon"));
  T* y = call.out[static_cast<std::size_t>(first_output)].as<T>();
  T* means = call.out[static_cast<std::size_t>(first_output + 1)].as<T>();
  T* rstds = call.out[static_cast<std::size_t>(first_output + 2)].as<T>();
  for (std::int64_t row = 0; row < call.in[0].shape().rows(); ++row, x += width, y += width) {
    T mean = 0, variance = 0;
    for (std::int64_t c = 0; c < width; ++c) mean += x[c];
    mean /= static_cast<T>(width);
    for (std::int64_t c = 0; c < width; ++c) variance += (x[c] - mean) * (x[c] - mean);
    variance /= static_cast<T>(width);
    const T rstd = T(1) / std::sqrt(variance + epsilon);
    for (std::int64_t c = 0; c < width; ++c) {
      y[c] = (x[c] - mean) * rstd * w.as<T>()[c] + (b ? b.as<T>()[c] : T(0));
    }
    if (means != nullptr) means[row] = mean;
    if (rstds != nullptr) rstds[row] = rstd;
  }
}

}  // namespace

void layernorm_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) { norm_rows(call, call.in[0].as<T>(), call.in[1], call.in[2], 0); });
}

void add_layernorm_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T *x = call.in[0].as<T>(), *branch = call.in[1].as<T>();
    T* sum = call.out[0].as<T>();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) sum[i] = x[i] + branch[i];
    norm_rows<T>(call, sum, call.in[2], call.in[3], 1);
  });
}

void layernorm_backward_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const std::int64_t width = call.in[1].count(), rows = call.in[0].shape().rows();
    const T *x = call.in[0].as<T>(), *w = call.in[1].as<T>(), *mean = call.in[2].as<T>(), *rstd = call.in[3].as<T>();
    const T* dy = call.in[4].as<T>();
    const Tensor &dx = call.out[0], &dw = call.out[1], &db = call.out[2];
    const auto normal = [&](std::int64_t row, std::int64_t c) { return (x[row * width + c] - mean[row]) * rstd[row]; };
    for (std::int64_t row = 0; dx && row < rows; ++row) {
      T along_one = 0, along_normal = 0;
      for (std::int64_t c = 0; c < width; ++c) {
        const T flow = dy[row * width + c] * w[c];
        along_one += flow;
        along_normal += flow * normal(row, c);
      }
      along_one /= static_cast<T>(width), along_normal /= static_cast<T>(width);
      for (std::int64_t c = 0; c < width; ++c) {
        const T flow = dy[row * width + c] * w[c];
        store(dx.as<T>()[row * width + c], (flow - along_one - normal(row, c) * along_normal) * rstd[row],
              call.mode[0]);
      }
    }
    for (std::int64_t c = 0; c < width; ++c) {
      T to_w = 0, to_b = 0;
      for (std::int64_t row = 0; row < rows; ++row) {
        to_w += dy[row * width + c] * normal(row, c);
        to_b += dy[row * width + c];
      }
      if (dw) store(dw.as<T>()[c], to_w, call.mode[1]);
      if (db) store(db.as<T>()[c], to_b, call.mode[2]);
    }
  });
}

}  // namespace isoloss
