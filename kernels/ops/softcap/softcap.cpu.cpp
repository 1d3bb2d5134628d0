#include "kernels/ops/softcap/softcap.h"

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/ops/softcap/softcap_vec.h"

namespace isoloss {

void softcap_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return softcap_ref(context, call);
  const VecSoftcap cap(static_cast<float>(call.attributes.real("cap")));
  const float* x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  parallel_for(call.in[0].count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [=](std::int64_t i, auto lanes) { store(cap(load(x + i, lanes)), y + i, lanes); });
  });
}

void softcap_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return softcap_backward_ref(context, call);
  const VecSoftcap cap(static_cast<float>(call.attributes.real("cap")));
  const float *y = call.in[0].as<float>(), *dy = call.in[1].as<float>();
  float* dx = call.out[0].as<float>();
  const Mode mode = call.mode[0];
  parallel_for(call.in[0].count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
    for_each_vec(begin, end, [=](std::int64_t i, auto lanes) {
      store(load(dy + i, lanes) * cap.slope(load(y + i, lanes)), dx + i, lanes, mode);
    });
  });
}

}  // namespace isoloss
