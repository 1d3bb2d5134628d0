#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/activation/activation.cuh"

namespace isoloss {

namespace {

template <class T, Activation kind>
__global__ void __launch_bounds__(kElementThreads) forward(T* y, const T* x, std::int64_t count) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> values = Pack<T>::load(x, at, count);
  float out[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) out[i] = activate_on_device<kind, T>(values.get(i));
  Pack<T>::of(out).store(y, at, count);
}

/// dx may be dy.
template <class T, Activation kind>
__global__ void __launch_bounds__(kElementThreads)
    backward(T* dx, const T* x, const T* dy, std::int64_t count, bool accumulate) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> values = Pack<T>::load(x, at, count), gradient = Pack<T>::load(dy, at, count);
  const Pack<T> before = accumulate ? Pack<T>::load(dx, at, count) : Pack<T>{};
  float out[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) {
    const float flow = gradient.get(i) * activation_slope_on_device<kind, T>(values.get(i));
    out[i] = accumulate ? before.get(i) + flow : flow;
  }
  Pack<T>::of(out).store(dx, at, count);
}

}  // namespace

void activation_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    with_activation(activation_of(call.attributes), [&](auto kind) {
      launch(context, forward<T, kind()>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(),
             call.in[0].as<T>(), count);
    });
  });
}

void activation_backward_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    with_activation(activation_of(call.attributes), [&](auto kind) {
      launch(context, backward<T, kind()>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(),
             call.in[0].as<T>(), call.in[1].as<T>(), count, call.mode[0] == Mode::accumulate);
    });
  });
}

}  // namespace isoloss
