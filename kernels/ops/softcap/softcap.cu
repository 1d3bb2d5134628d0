#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/softcap/softcap.cuh"
#include "kernels/ops/softcap/softcap.h"

namespace isoloss {

namespace {

/// y may be x.
template <class T>
__global__ void __launch_bounds__(kElementThreads)
    cap_elements(T* y, const T* x, std::int64_t count, const __grid_constant__ DeviceSoftcap cap) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> values = Pack<T>::load(x, at, count);
  float out[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) out[i] = cap(values.get(i));
  Pack<T>::of(out).store(y, at, count);
}

/// dx may be dy.
template <class T>
__global__ void __launch_bounds__(kElementThreads)
    cap_slopes(T* dx, const T* y, const T* dy, std::int64_t count, bool accumulate,
               const __grid_constant__ DeviceSoftcap cap) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> values = Pack<T>::load(y, at, count), gradient = Pack<T>::load(dy, at, count);
  const Pack<T> before = accumulate ? Pack<T>::load(dx, at, count) : Pack<T>{};
  float out[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) {
    const float flow = gradient.get(i) * cap.slope(values.get(i));
    out[i] = accumulate ? before.get(i) + flow : flow;
  }
  Pack<T>::of(out).store(dx, at, count);
}

DeviceSoftcap cap_of(const Attributes& attributes) {
  const auto cap = static_cast<float>(attributes.real("cap"));
  return {cap, 1.0f / cap};
}

}  // namespace

void softcap_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, cap_elements<T>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(),
           call.in[0].as<T>(), count, cap_of(call.attributes));
  });
}

void softcap_backward_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, cap_slopes<T>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(),
           call.in[0].as<T>(), call.in[1].as<T>(), count, call.mode[0] == Mode::accumulate, cap_of(call.attributes));
  });
}

}  // namespace isoloss
