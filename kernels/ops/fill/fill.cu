#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/fill/fill.h"

namespace isoloss {

namespace {

template <class T>
__global__ void __launch_bounds__(kElementThreads) fill(T* y, std::int64_t count, float value) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  float out[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) out[i] = value;
  Pack<T>::of(out).store(y, at, count);
}

}  // namespace

void fill_cuda(DeviceContext& context, const OpCall& call) {
  const Tensor& y = call.out[0];
  with_real(y.type.dtype, [&]<class T>(T) {
    launch(context, fill<T>, element_blocks<T>(y.count()), kElementThreads, 0, y.as<T>(), y.count(),
           static_cast<float>(call.attributes.real("value")));
  });
}

}  // namespace isoloss
