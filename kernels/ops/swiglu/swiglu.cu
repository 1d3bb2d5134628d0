#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/activation/activation.cuh"
#include "kernels/ops/swiglu/swiglu.h"

namespace isoloss {

namespace {

template <class T>
__global__ void __launch_bounds__(kElementThreads) forward(T* y, const T* gate, const T* up, std::int64_t count) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> gates = Pack<T>::load(gate, at, count), ups = Pack<T>::load(up, at, count);
  float out[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) out[i] = gates.get(i) * sigmoid(gates.get(i)).open * ups.get(i);
  Pack<T>::of(out).store(y, at, count);
}

/// dgate may be dy, dup may be up.
template <class T>
__global__ void __launch_bounds__(kElementThreads) backward(T* dgate, T* dup, const T* gate, const T* up, const T* dy,
                                                            std::int64_t count, bool add_gate, bool add_up) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  const Pack<T> gates = Pack<T>::load(gate, at, count), ups = Pack<T>::load(up, at, count);
  const Pack<T> gradient = Pack<T>::load(dy, at, count);
  const Pack<T> before_gate = add_gate ? Pack<T>::load(dgate, at, count) : Pack<T>{};
  const Pack<T> before_up = add_up ? Pack<T>::load(dup, at, count) : Pack<T>{};
  float to_gate[kPack<T>], to_up[kPack<T>];
  UNROLL for (int i = 0; i < kPack<T>; ++i) {
    const float x = gates.get(i), flow = gradient.get(i);
    const Gate own = sigmoid(x);
    const float of_gate = flow * ups.get(i) * own.open * fmaf(x, own.shut, 1.0f), of_up = flow * x * own.open;
    to_gate[i] = add_gate ? before_gate.get(i) + of_gate : of_gate;
    to_up[i] = add_up ? before_up.get(i) + of_up : of_up;
  }
  Pack<T>::of(to_gate).store(dgate, at, count);
  Pack<T>::of(to_up).store(dup, at, count);
}

}  // namespace

void swiglu_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, forward<T>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(), call.in[0].as<T>(),
           call.in[1].as<T>(), count);
  });
}

void swiglu_backward_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, backward<T>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(), call.out[1].as<T>(),
           call.in[0].as<T>(), call.in[1].as<T>(), call.in[2].as<T>(), count, call.mode[0] == Mode::accumulate,
           call.mode[1] == Mode::accumulate);
  });
}

}  // namespace isoloss
