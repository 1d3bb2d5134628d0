#include "kernels/ops/add/add.h"

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"

namespace isoloss {

void add_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return add_ref(context, call);
  const float *a = call.in[0].as<float>(), *b = call.in[1].as<float>();
  float* y = call.out[0].as<float>();
  parallel_for(call.in[0].count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end,
                 [=](std::int64_t i, auto lanes) { store(load(a + i, lanes) + load(b + i, lanes), y + i, lanes); });
  });
}

}  // namespace isoloss
