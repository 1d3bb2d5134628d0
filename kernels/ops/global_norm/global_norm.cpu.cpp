#include "kernels/ops/global_norm/global_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/parallel.h"
#include "kernels/cpu/vec.h"

namespace isoloss {

namespace {

/// Sum of squares in double, in four groups of lanes.
double sum_of_squares(const float* values, std::int64_t count) {
  constexpr int kLanes = kVecWidth, kGroups = 4;
  detail::NativeDoubles sums[kGroups] = {};
  std::int64_t i = 0;
  for (; i + kGroups * kLanes <= count; i += kGroups * kLanes) {
    for (int group = 0; group < kGroups; ++group) {
      const auto wide = __builtin_convertvector(Vec::load(values + i + group * kLanes).native, detail::NativeDoubles);
      sums[group] += wide * wide;
    }
  }
  const detail::NativeDoubles lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += lanes[lane];
  for (; i < count; ++i) total += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return total;
}

}  // namespace

void global_norm_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return global_norm_ref(context, call);
  const float* gradient = call.in[0].as<float>();
  const std::int64_t count = call.in[0].count(), chunks = (count + kNormChunk - 1) / kNormChunk;
  double* partial = static_cast<double*>(context.scratch.data);
  parallel_for(chunks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      const std::int64_t begin = chunk * kNormChunk;
      partial[chunk] = sum_of_squares(gradient + begin, std::min(kNormChunk, count - begin));
    }
  });
  double total = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk];
  const double norm = std::sqrt(total);
  call.out[0].as<float>()[0] = static_cast<float>(norm);
  call.out[1].as<float>()[0] = static_cast<float>(clip_factor(norm, call.attributes.real("clip_norm")));
}

}  // namespace isoloss
