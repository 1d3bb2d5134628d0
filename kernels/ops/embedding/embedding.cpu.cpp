#include "kernels/ops/embedding/embedding.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/parallel.h"
#include "kernels/cpu/elementwise.h"

namespace isoloss {

namespace {

void add_row(const float* a, const float* b, float* y, std::int64_t width) {
  for_each_vec(0, width,
               [&](std::int64_t i, auto lanes) { store(load(a + i, lanes) + load(b + i, lanes), y + i, lanes); });
}

void sinusoidal_row(std::int64_t position, const double* frequencies, float* row, std::int64_t width) {
  for (std::int64_t c = 0; c < width; c += 2) {
    const double angle = static_cast<double>(position) * frequencies[c / 2];
    row[c] = static_cast<float>(std::sin(angle));
    if (c + 1 < width) row[c + 1] = static_cast<float>(std::cos(angle));
  }
}

void clear(const Tensor& tensor) {
  float* values = tensor.as<float>();
  parallel_for(tensor.count(), kElementwiseGrain,
               [&](std::int64_t begin, std::int64_t end) { std::fill(values + begin, values + end, 0.0f); });
}

}  // namespace

void embedding_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[1].type.dtype != DType::f32) return embedding_ref(context, call);
  const std::int32_t* ids = call.in[0].as<std::int32_t>();
  const float *token = call.in[1].as<float>(), *position = call.in[2].as<float>();
  float* y = call.out[0].as<float>();
  const std::int64_t batch = call.in[0].shape()[0], length = call.in[0].shape()[1], width = call.in[1].shape()[1];
  const bool sinusoidal = call.attributes.flag("sinusoidal");
  const std::int64_t pairs = (width + 1) / 2;
  double* frequencies = static_cast<double*>(context.scratch.data);
  for (std::int64_t pair = 0; sinusoidal && pair < pairs; ++pair) frequencies[pair] = sinusoidal_frequency(pair, width);

  // A task is one position in all sequences of the batch, so that its row of the table is computed once.
  parallel_tasks(length, [&](std::int64_t t, int thread) {
    const std::int64_t at = context.state->position + t;
    const float* added = position != nullptr ? position + at * width : nullptr;
    if (sinusoidal) {
      float* row = reinterpret_cast<float*>(frequencies + pairs) + thread * width;
      sinusoidal_row(at, frequencies, row, width);
      added = row;
    }
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t n = b * length + t;
      const float* row = token + ids[n] * width;
      if (added != nullptr) {
        add_row(row, added, y + n * width, width);
      } else {
        std::copy(row, row + width, y + n * width);
      }
    }
  });
}

void embedding_backward_cpu(DeviceContext& context, const OpCall& call) {
  if (call.in[1].type.dtype != DType::f32) return embedding_backward_ref(context, call);
  const Tensor &dy = call.in[1], &dtoken = call.out[0], &dposition = call.out[1];
  const std::int32_t* ids = call.in[0].as<std::int32_t>();
  const std::int64_t rows = call.in[0].count(), length = dy.shape()[1], width = dy.shape()[2];
  if (call.mode[0] == Mode::write) clear(dtoken);
  if (call.mode[1] == Mode::write) clear(dposition);
  // Each task owns a band of columns, so no two add to the same element and every element adds in the order of the
  // batch.
  constexpr std::int64_t kBand = 64;
  parallel_for(width, kBand, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = 0; n < rows; ++n) {
      const float* from = dy.as<float>() + n * width;
      const auto add_to = [&](const Tensor& to, std::int64_t row) {
        if (to)
          add_row(to.as<float>() + row * width + begin, from + begin, to.as<float>() + row * width + begin,
                  end - begin);
      };
      add_to(dtoken, ids[n]);
      add_to(dposition, context.state->position + n % length);
    }
  });
}

}  // namespace isoloss
