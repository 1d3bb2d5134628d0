#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/add/add.h"

namespace isoloss {

namespace {

/// y may be a: every thread reads what it writes first.
template <class T>
__global__ void __launch_bounds__(kElementThreads) add(T* y, const T* a, const T* b, std::int64_t count) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> first = Pack<T>::load(a, at, count), second = Pack<T>::load(b, at, count);
  float sum[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) sum[i] = first.get(i) + second.get(i);
  Pack<T>::of(sum).store(y, at, count);
}

}  // namespace

void add_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, add<T>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(), call.in[0].as<T>(),
           call.in[1].as<T>(), count);
  });
}

}  // namespace isoloss
