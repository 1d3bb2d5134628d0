#include "kernels/ops/global_norm/global_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/reference.h"

namespace isoloss {

double clip_factor(double norm, double clip_norm) {
  if (clip_norm == 0) return 1;
  const double factor = clip_norm / (norm + 1e-6);
  return factor >= 1 ? 1 : factor;  // so asked, a NaN is passed on
}

void global_norm_ref(DeviceContext&, const OpCall& call) {
  with_real(call.in[0], [&]<class T>(T) {
    const T* gradient = call.in[0].as<T>();
    const std::int64_t count = call.in[0].count();
    double total = 0;
    for (std::int64_t begin = 0; begin < count; begin += kNormChunk) {
      double squares = 0;
      for (std::int64_t i = begin; i < std::min(count, begin + kNormChunk); ++i) {
        squares += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
      }
      total += squares;
    }
    const double norm = std::sqrt(total);
    call.out[0].as<T>()[0] = static_cast<T>(norm);
    call.out[1].as<T>()[0] = static_cast<T>(clip_factor(norm, call.attributes.real("clip_norm")));
  });
}

}  // namespace isoloss
