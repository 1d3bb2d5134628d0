#include "kernels/core/rules.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/sgd/sgd.h"

namespace isoloss {

namespace {

struct SgdArguments {
  float *parameter, *m;  ///< m null: no momentum
  const float *gradient, *factor;
  bf16* working;  ///< null: there is none
  const StepState* state;
  std::int64_t count, decay_count;
  double weight_decay, rate_factor;
  float momentum;
};

__global__ void __launch_bounds__(kElementThreads) sgd_update(const __grid_constant__ SgdArguments p) {
  const std::int64_t at = pack_of_thread<float>();
  if (at >= p.count) return;
  const double rate = p.state->learning_rate * p.rate_factor;
  const auto learning_rate = static_cast<float>(rate), decay = static_cast<float>(1 - rate * p.weight_decay);
  const float factor = *p.factor;
  const auto parameter = Pack<float>::load(p.parameter, at, p.count);
  Pack<float> m{};
  if (p.m != nullptr) m = Pack<float>::load(p.m, at, p.count);
  const auto gradient = Pack<float>::load(p.gradient, at, p.count);
  float next[kPack<float>], next_m[kPack<float>];
  UNROLL for (int i = 0; i < kPack<float>; ++i) {
    float value = parameter.get(i);
    if (at + i < p.decay_count) value *= decay;
    const float first = p.momentum * m.get(i) + factor * gradient.get(i);
    value -= learning_rate * first;
    next[i] = value, next_m[i] = first;
  }
  Pack<float>::of(next).store(p.parameter, at, p.count);
  if (p.m != nullptr) Pack<float>::of(next_m).store(p.m, at, p.count);
  if (p.working != nullptr) Pack<bf16, kPack<float>>::of(next).store(p.working, at, p.count);
}

}  // namespace

void sgd_cuda(DeviceContext& context, const OpCall& call) {
  const SgdArguments arguments{.parameter = call.out[0].as<float>(),
                               .m = call.out[1].as<float>(),
                               .gradient = call.in[1].as<float>(),
                               .factor = call.in[3].as<float>(),
                               .working = call.out[2].as<bf16>(),
                               .state = context.cuda->state,
                               .count = call.in[0].count(),
                               .decay_count = call.attributes.integer("decay_count"),
                               .weight_decay = call.attributes.real("weight_decay"),
                               .rate_factor = rate_factor(call.attributes),
                               .momentum = static_cast<float>(call.attributes.real("beta1"))};
  launch(context, sgd_update, element_blocks<float>(arguments.count), kElementThreads, 0, arguments);
}

}  // namespace isoloss
