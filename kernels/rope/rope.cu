// The angles of a call are tabulated first: sine and cosine of T · D/2 angles, which all sequences and heads share,
// take a negligible kernel; computed in place they would be the whole time of the op.
#include "kernels/core/dispatch.cuh"
#include "kernels/core/launch.cuh"
#include "kernels/core/pack.cuh"
#include "kernels/rope/rope.h"

namespace isoloss {

namespace {

/// table [T, D/2]: cosine and sine of position · theta^(-2i/D), for the position that starts at `first`.
__global__ void __launch_bounds__(kElementThreads)
    tabulate(float2* table, std::int64_t count, std::int64_t half, std::int64_t first, double theta, float direction) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at >= count) return;
  const std::int64_t pair = at % half;
  // The power in double: a few ulps of a float power, times a position in the thousands, would show in the angle.
  const auto frequency = static_cast<float>(pow(theta, -static_cast<double>(pair) / static_cast<double>(half)));
  const float angle = static_cast<float>(first + at / half) * frequency;
  table[at] = make_float2(cosf(angle), direction * sinf(angle));
}

/// One pair a thread; pairs of values are copied. out may be in.
template <class T>
__global__ void __launch_bounds__(kElementThreads) turn(T* out, const T* in, const float2* table, std::int64_t pairs,
                                                        std::int64_t length, int lanes, int turning, int half) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at >= pairs) return;
  const int pair = static_cast<int>(at % half), head = static_cast<int>(at / half % lanes);
  const std::int64_t row = at / (static_cast<std::int64_t>(half) * lanes);
  const std::int64_t x = (row * lanes + head) * 2 * half + pair;
  const T first = in[x], second = in[x + half];
  if (head >= turning) {
    out[x] = first, out[x + half] = second;
    return;
  }
  const float2 angle = table[row % length * half + pair];
  out[x] = from_float<T>(to_float(first) * angle.x - to_float(second) * angle.y);
  out[x + half] = from_float<T>(to_float(second) * angle.x + to_float(first) * angle.y);
}

void run(DeviceContext& context, const OpCall& call, float direction) {
  const RopeDims dims(call.attributes, call.in[0].shape());
  const std::int64_t half = dims.D / 2, angles = dims.T * half, pairs = dims.B * dims.T * dims.lanes * half;
  auto* table = static_cast<float2*>(context.scratch.data);
  launch(context, tabulate, static_cast<unsigned>(blocks_for(angles, kElementThreads)), kElementThreads, 0, table,
         angles, half, context.state->position, call.attributes.real("theta"), direction);
  with_real(call.in[0].type.dtype, [&]<class T>(T) {
    launch(context, turn<T>, static_cast<unsigned>(blocks_for(pairs, kElementThreads)), kElementThreads, 0,
           call.out[0].as<T>(), call.in[0].as<T>(), table, pairs, dims.T, static_cast<int>(dims.lanes),
           static_cast<int>(dims.heads), static_cast<int>(half));
  });
}

}  // namespace

void rope_cuda(DeviceContext& context, const OpCall& call) { run(context, call, 1); }
void rope_backward_cuda(DeviceContext& context, const OpCall& call) { run(context, call, -1); }

}  // namespace isoloss
