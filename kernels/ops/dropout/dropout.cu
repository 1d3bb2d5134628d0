#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/dropout/dropout.h"

namespace isoloss {

namespace {

constexpr int kDraws = 4;  // of one call of the generator

/// Forward and backward are one: y = x times the factors of the site. y may be x. `first` is the number of the call's
/// first element within the step; where it is a multiple of kDraws (`whole`), a draw serves four neighbours.
template <class T, bool whole>
__global__ void __launch_bounds__(kElementThreads)
    apply(T* y, const T* x, std::int64_t count, std::uint64_t first, DropoutMask mask, float scale,
          const StepState* state, bool accumulate) {
  const std::int64_t at = pack_of_thread<T>();
  if (at >= count) return;
  mask.step = static_cast<std::uint64_t>(state->step);  // a replayed launch belongs to another step
  const Pack<T> in = Pack<T>::load(x, at, count);
  const Pack<T> before = accumulate ? Pack<T>::load(y, at, count) : Pack<T>{};
  float out[kPack<T>];
  const std::uint64_t start = first + static_cast<std::uint64_t>(at);
  UNROLL for (int i = 0; i < kPack<T>; i += kDraws) {
    std::uint32_t draw[kDraws];
    if constexpr (whole) {
      const PhiloxBlock draws = mask.draws((start + static_cast<std::uint64_t>(i)) / kDraws);
      UNROLL for (int j = 0; j < kDraws; ++j) draw[j] = draws[static_cast<std::size_t>(j)];
    } else {
      for (int j = 0; j < kDraws; ++j) {
        const std::uint64_t element = start + static_cast<std::uint64_t>(i + j);
        draw[j] = mask.draws(element / kDraws)[element % kDraws];
      }
    }
    UNROLL for (int j = 0; j < kDraws; ++j) {
      const float value = in.get(i + j) * (draw[j] >= mask.threshold ? scale : 0.0f);
      out[i + j] = accumulate ? before.get(i + j) + value : value;
    }
  }
  Pack<T>::of(out).store(y, at, count);
}

}  // namespace

void dropout_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count();
  const auto first = static_cast<std::uint64_t>(context.state->micro_batch * count);
  const DropoutMask mask = dropout_mask(call.attributes, *context.state);
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    with_flag(first % kDraws == 0, [&](auto whole) {
      launch(context, apply<T, whole()>, element_blocks<T>(count), kElementThreads, 0, call.out[0].as<T>(),
             call.in[0].as<T>(), count, first, mask, static_cast<float>(mask.scale), context.cuda->state,
             call.mode[0] == Mode::accumulate);
    });
  });
}

}  // namespace isoloss
