// Cosines and sines of all (position, pair) go into a table first; then one pass over the tensor.
#include "kernels/ops/rope/rope.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/parallel.h"
#include "kernels/cpu/vec.h"

namespace isoloss {

namespace {

struct Table {
  float *cosine, *sine;  // [T, D/2] each
};

Table make_table(const DeviceContext& context, const OpCall& call, const RopeDims& dims, float direction) {
  const std::int64_t half = dims.D / 2;
  float* const scratch = static_cast<float*>(context.scratch.data);
  const Table table = {scratch, scratch + dims.T * half};
  for (std::int64_t i = 0; i < half; ++i) {  // one row of frequencies, read by all and overwritten by row 0 at the end
    table.sine[i] = rope_frequency<float>(call.attributes.real("theta"), i, dims.D);
  }
  const auto fill = [&](std::int64_t t) {
    const Vec position = static_cast<float>(context.state->position + t);
    for (std::int64_t i = 0; i < half; i += kVecWidth) {
      const std::int64_t n = std::min<std::int64_t>(kVecWidth, half - i);
      Vec sine, cosine;
      sine_cosine(position * Vec::load(table.sine + i, n), sine, cosine);
      cosine.store(table.cosine + t * half + i, n);
      (sine * direction).store(table.sine + t * half + i, n);
    }
  };
  parallel_for(dims.T - 1, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) fill(t + 1);
  });
  fill(0);
  return table;
}

void turn(DeviceContext& context, const OpCall& call, float direction) {
  const RopeDims dims(call.attributes, call.in[0].shape());
  const Table table = make_table(context, call, dims, direction);
  const float* const in = call.in[0].as<float>();
  float* const out = call.out[0].as<float>();
  const std::int64_t half = dims.D / 2, token = dims.lanes * dims.D, turned = dims.heads * dims.D;
  parallel_for(dims.B * dims.T, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float *cosines = table.cosine + row % dims.T * half, *sines = table.sine + row % dims.T * half;
      for (std::int64_t head = 0; head < dims.heads; ++head) {
        const float* x = in + row * token + head * dims.D;
        float* y = out + row * token + head * dims.D;
        for (std::int64_t i = 0; i < half; i += kVecWidth) {
          const std::int64_t n = std::min<std::int64_t>(kVecWidth, half - i);
          const Vec cosine = Vec::load(cosines + i, n), sine = Vec::load(sines + i, n);
          const Vec first = Vec::load(x + i, n), second = Vec::load(x + half + i, n);
          (first * cosine - second * sine).store(y + i, n);
          (second * cosine + first * sine).store(y + half + i, n);
        }
      }
      if (in != out) std::copy(in + row * token + turned, in + (row + 1) * token, out + row * token + turned);
    }
  });
}

}  // namespace

void rope_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return rope_ref(context, call);
  turn(context, call, 1);
}

void rope_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[0].type.dtype != DType::f32) return rope_backward_ref(context, call);
  turn(context, call, -1);
}

}  // namespace isoloss
