#include "kernels/core/dispatch.cuh"
#include "kernels/core/launch.cuh"
#include "kernels/core/pack.cuh"
#include "kernels/dropout/dropout.h"

namespace isoloss {

namespace {

/// Forward and backward are one: y = x times the factors of the site. y may be x. `first` is the number of the call's
/// first element within the step.
template <class T>
__global__ void __launch_bounds__(kElementThreads) apply(T* y, const T* x, std::int64_t count, std::uint64_t first,
                                                         DropoutMask mask, const StepState* state, bool accumulate) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  mask.step = static_cast<std::uint64_t>(state->step);  // a replayed launch belongs to another step
  const auto scale = static_cast<float>(mask.scale);
  const Pack<T> in = Pack<T>::load(x, at, count);
  Pack<T> out = accumulate ? Pack<T>::load(y, at, count) : Pack<T>{};
  std::uint64_t drawn = ~std::uint64_t{0};
  PhiloxBlock draws{};
  UNROLL for (int i = 0; i < kPack<T>; ++i) {
    const std::uint64_t element = first + static_cast<std::uint64_t>(at + i);
    if (element / 4 != drawn) draws = mask.draws(drawn = element / 4);
    const float value = in.get(i) * (draws[element % 4] >= mask.threshold ? scale : 0.0f);
    out.set(i, accumulate ? out.get(i) + value : value);
  }
  out.store(y, at, count);
}

}  // namespace

void dropout_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, apply<T>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(), call.in[0].as<T>(),
           count, static_cast<std::uint64_t>(context.state->micro_batch * count),
           dropout_mask(call.attributes, *context.state), context.cuda->state, call.mode[0] == Mode::accumulate);
  });
}

}  // namespace isoloss
