#include "kernels/core/rules.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/adamw/adamw.h"

namespace isoloss {

namespace {

struct AdamwArguments {
  float *parameter, *m, *v;
  const float *gradient, *factor;
  bf16* working;  ///< null: there is none
  const StepState* state;
  std::int64_t count, decay_count;
  double weight_decay, rate_factor;
  float beta1, beta2, rest1, rest2, epsilon;
};

__global__ void __launch_bounds__(kElementThreads) update(const __grid_constant__ AdamwArguments p) {
  const std::int64_t at = pack_of_thread<float>();
  if (at >= p.count) return;
  const double rate = p.state->learning_rate * p.rate_factor;
  const auto learning_rate = static_cast<float>(rate), decay = static_cast<float>(1 - rate * p.weight_decay);
  const auto correction1 = static_cast<float>(p.state->bias_correction1);
  const auto correction2 = static_cast<float>(p.state->bias_correction2);
  const float factor = *p.factor;
  const auto parameter = Pack<float>::load(p.parameter, at, p.count), m = Pack<float>::load(p.m, at, p.count);
  const auto v = Pack<float>::load(p.v, at, p.count);
  const auto gradient = Pack<float>::load(p.gradient, at, p.count);
  float next[kPack<float>], next_m[kPack<float>], next_v[kPack<float>];
  UNROLL for (int i = 0; i < kPack<float>; ++i) {
    const float g = factor * gradient.get(i);
    float value = parameter.get(i);
    if (at + i < p.decay_count) value *= decay;
    const float first = p.beta1 * m.get(i) + p.rest1 * g, second = p.beta2 * v.get(i) + p.rest2 * g * g;
    value -= learning_rate * (first / correction1) / (sqrtf(second / correction2) + p.epsilon);
    next[i] = value, next_m[i] = first, next_v[i] = second;
  }
  Pack<float>::of(next).store(p.parameter, at, p.count);
  Pack<float>::of(next_m).store(p.m, at, p.count);
  Pack<float>::of(next_v).store(p.v, at, p.count);
  if (p.working != nullptr) Pack<bf16, kPack<float>>::of(next).store(p.working, at, p.count);
}

}  // namespace

void adamw_cuda(DeviceContext& context, const OpCall& call) {
  const Attributes& attributes = call.attributes;
  const double beta1 = attributes.real("beta1"), beta2 = attributes.real("beta2");
  const AdamwArguments arguments{.parameter = call.out[0].as<float>(),
                                 .m = call.out[1].as<float>(),
                                 .v = call.out[2].as<float>(),
                                 .gradient = call.in[1].as<float>(),
                                 .factor = call.in[4].as<float>(),
                                 .working = call.out[3].as<bf16>(),
                                 .state = context.cuda->state,
                                 .count = call.in[0].count(),
                                 .decay_count = attributes.integer("decay_count"),
                                 .weight_decay = attributes.real("weight_decay"),
                                 .rate_factor = rate_factor(attributes),
                                 .beta1 = static_cast<float>(beta1),
                                 .beta2 = static_cast<float>(beta2),
                                 .rest1 = static_cast<float>(1 - beta1),
                                 .rest2 = static_cast<float>(1 - beta2),
                                 .epsilon = static_cast<float>(attributes.real("epsilon"))};
  launch(context, update, element_blocks<float>(arguments.count), kElementThreads, 0, arguments);
}

}  // namespace isoloss
