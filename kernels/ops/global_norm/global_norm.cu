#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/ops/global_norm/global_norm.h"

namespace isoloss {

namespace {

constexpr int kGradientThreads = 256;

/// One block a chunk: its sum of squares in double. A float's square is exact in double, so only sums round.
__global__ void __launch_bounds__(kGradientThreads)
    square_chunk(double* sums, const float* gradient, std::int64_t count) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kNormChunk;
  const std::int64_t end = begin + kNormChunk < count ? begin + kNormChunk : count;
  double sum = 0;
  for (std::int64_t at = begin + threadIdx.x * kPack<float>; at < end; at += kGradientThreads * kPack<float>) {
    const auto pack = Pack<float>::load(gradient, at, count);
    UNROLL for (int i = 0; i < kPack<float>; ++i) {
      const double value = static_cast<double>(pack.get(i));
      sum += value * value;
    }
  }
  sum = block_sum<kGradientThreads>(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kGradientThreads)
    finish(float* norm, float* factor, const double* sums, std::int64_t chunks, double clip_norm) {
  double total = 0;
  for (std::int64_t i = threadIdx.x; i < chunks; i += kGradientThreads) total += sums[i];
  total = sqrt(block_sum<kGradientThreads>(total));
  if (threadIdx.x != 0) return;
  const double clip = clip_norm / (total + 1e-6);
  *norm = static_cast<float>(total);
  *factor = clip_norm == 0 || clip >= 1 ? 1.0f : static_cast<float>(clip);  // so asked, a NaN is passed on
}

}  // namespace

void global_norm_cuda(DeviceContext& context, const OpCall& call) {
  const std::int64_t count = call.in[0].count(), chunks = blocks_for(count, kNormChunk);
  auto* const sums = static_cast<double*>(context.scratch.data);
  launch(context, square_chunk, static_cast<unsigned>(chunks), kGradientThreads, 0, sums, call.in[0].as<float>(),
         count);
  launch(context, finish, 1u, kGradientThreads, 0, call.out[0].as<float>(), call.out[1].as<float>(), sums, chunks,
         call.attributes.real("clip_norm"));
}

}  // namespace isoloss
