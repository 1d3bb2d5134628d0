// A thread turns the same pairs in several heads of a token, so that it computes their angles once. The angles' factors
// depend on the shape alone and travel with the launch. Figures: kernels/cuda/README.md.
#include <algorithm>

#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/ops/rope/rope.h"

namespace isoloss {

namespace {

constexpr int kThreadHeads = 8;  // that one thread turns
constexpr int kBatch = 4;        // of them read before any is written, so that enough reads are under way

template <class T>
struct RopeArguments {
  T* out;  ///< may be in
  const T* in;
  std::int64_t rows, first;                      ///< tokens of all sequences; position of the first of a sequence
  int length, pairs, turning, heads, all_heads;  ///< heads: how many are written
  float direction;
  float frequency[kRopeCudaPairs];
};

template <class T, int n>
__global__ void __launch_bounds__(kElementThreads) turn(const __grid_constant__ RopeArguments<T> p) {
  using Lanes = Pack<T, n>;
  const std::uint32_t at = blockIdx.x * kElementThreads + threadIdx.x, packs = static_cast<std::uint32_t>(p.pairs / n);
  const std::uint32_t row = at / packs;
  if (row >= p.rows) return;
  const int pair = static_cast<int>(at % packs) * n;
  const auto position = static_cast<float>(p.first + row % static_cast<std::uint32_t>(p.length));
  float sine[n], cosine[n];
  UNROLL for (int i = 0; i < n; ++i) {
    sincosf(position * p.frequency[pair + i], &sine[i], &cosine[i]);
    sine[i] *= p.direction;
  }
  const std::int64_t start = std::int64_t{row} * p.all_heads * 2 * p.pairs + pair;
  const int begin = static_cast<int>(blockIdx.y) * kThreadHeads;
  for (int head = begin; head < begin + kThreadHeads; head += kBatch) {
    Lanes first[kBatch], second[kBatch];
    UNROLL for (int b = 0; b < kBatch; ++b) {
      const T* const from = p.in + start + std::int64_t{head + b} * 2 * p.pairs;
      if (head + b < p.heads) first[b] = Lanes::load(from), second[b] = Lanes::load(from + p.pairs);
    }
    UNROLL for (int b = 0; b < kBatch; ++b) {
      if (head + b >= p.heads) continue;
      if (head + b < p.turning) {
        float x[n], y[n];
        UNROLL for (int i = 0; i < n; ++i) {
          x[i] = first[b].get(i) * cosine[i] - second[b].get(i) * sine[i];
          y[i] = second[b].get(i) * cosine[i] + first[b].get(i) * sine[i];
        }
        first[b] = Lanes::of(x), second[b] = Lanes::of(y);
      }
      T* const to = p.out + start + std::int64_t{head + b} * 2 * p.pairs;
      first[b].store(to), second[b].store(to + p.pairs);
    }
  }
}

void run(DeviceContext& context, const OpCall& call, float direction) {
  const RopeDims dims(call.attributes, call.in[0].shape());
  const std::int64_t pairs = dims.D / 2;
  expect_rope_width(dims.D);
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    RopeArguments<T> arguments{.out = call.out[0].as<T>(),
                               .in = call.in[0].as<T>(),
                               .rows = dims.B * dims.T,
                               .first = context.state->position,
                               .length = static_cast<int>(dims.T),
                               .pairs = static_cast<int>(pairs),
                               .turning = static_cast<int>(dims.heads),
                               .heads = static_cast<int>(dims.lanes),
                               .all_heads = static_cast<int>(dims.lanes),
                               .direction = direction,
                               .frequency = {}};
    if (arguments.out == arguments.in) arguments.heads = arguments.turning;  // values stay where they are
    for (std::int64_t i = 0; i < pairs; ++i) {
      arguments.frequency[i] = rope_frequency<float>(call.attributes.real("theta"), i, dims.D);
    }
    const auto start = [&](auto n) {
      const dim3 grid(static_cast<unsigned>(blocks_for(arguments.rows * (pairs / n()), kElementThreads)),
                      static_cast<unsigned>(blocks_for(arguments.heads, kThreadHeads)));
      launch(context, turn<T, n()>, grid, kElementThreads, 0, arguments);
    };
    if (pairs % kPack<T> == 0) {
      start(std::integral_constant<int, kPack<T>>{});
    } else {
      start(std::integral_constant<int, 1>{});
    }
  });
}

}  // namespace

void rope_cuda(DeviceContext& context, const OpCall& call) { run(context, call, 1); }
void rope_backward_cuda(DeviceContext& context, const OpCall& call) { run(context, call, -1); }

}  // namespace isoloss
