// The one way to start a kernel: launch(context, kernel, grid, block, dynamic shared bytes, arguments…).
#pragma once

#include <tuple>
#include <utility>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/device.h"

namespace isoloss {

#if defined(__CUDACC__)

inline void check_cuda(cudaError_t status) {
  if (status != cudaSuccess) throw CudaFailure(cudaGetErrorString(status));
}

/// Bytes of dynamic shared memory that a block of `kernel` may ask for on this GPU.
template <class... P>
std::size_t most_shared(void (*kernel)(P...)) {
  int device = 0, bytes = 0;
  cudaFuncAttributes attributes;
  check_cuda(cudaGetDevice(&device));
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  check_cuda(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)));
  return static_cast<std::size_t>(bytes) - attributes.sharedSizeBytes;
}

/// Starts `kernel` on the context's stream. Arguments are converted to the kernel's parameter types as in a call.
template <class... P, class... A>
void launch(DeviceContext& context, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            A&&... arguments) {
  std::tuple<P...> values(static_cast<P>(std::forward<A>(arguments))...);
  std::apply(
      [&](P&... value) {
        void* pointers[] = {&value..., nullptr};
        // More than 48 KiB, static arrays included, must be asked for; what the device does not have is an error here.
        if (shared_bytes > 0) {
          check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
        }
        check_cuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared_bytes,
                                    static_cast<cudaStream_t>(context.cuda->stream)));
      },
      values);
}

#else

template <class... P>
std::size_t most_shared(void (*)(P...)) {
  return 226 * 1024;
}

template <class... P, class... A>
void launch(DeviceContext& context, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            A&&... arguments) {
  std::tuple<P...> values(static_cast<P>(std::forward<A>(arguments))...);
  simt::launch(context.cuda->stream, grid, block, shared_bytes,
               [kernel, values] { std::apply([kernel](P... value) { kernel(value...); }, values); });
}

#endif

}  // namespace isoloss
