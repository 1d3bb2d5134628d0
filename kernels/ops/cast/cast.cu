#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/cast/cast.h"

namespace isoloss {

namespace {

__global__ void __launch_bounds__(kElementThreads) cast(bf16* y, const float* x, std::int64_t count) {
  const std::int64_t at = pack_of_thread<bf16>();
  if (at >= count) return;
  constexpr int kFloats = kPack<float>;
  float value[kPack<bf16>];
  UNROLL for (int half = 0; half < 2; ++half) {
    const Pack<float> in = Pack<float>::load(x, at + half * kFloats, count);
    UNROLL for (int i = 0; i < kFloats; ++i) value[half * kFloats + i] = in.get(i);
  }
  Pack<bf16>::of(value).store(y, at, count);
}

}  // namespace

void cast_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  launch(context, cast, element_blocks<bf16>(count), kElementThreads, 0, call.out[0].as<bf16>(), call.in[0].as<float>(),
         count);
}

}  // namespace isoloss
