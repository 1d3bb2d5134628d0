// linear on a GPU: the product is the device's, bias and gelu_tanh are its epilogues where it offers them and else the
// kernels below where not. A block of the kernels owns 32 packs of columns and a piece of the rows; its eight warps
// take the rows in turn, so that a warp reads 512 bytes of one row at once.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/partials.cuh"
#include "kernels/ops/activation/activation.cuh"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/linear/linear_cuda.h"

namespace isoloss {

using namespace linear_ports;

namespace {

constexpr int kWarps = 8;

/// pre = product + bias, y = act(pre) of [m,n]; `product` may be y or pre; bias and pre may be null.
template <class T, int width, Activation kind>
__global__ void __launch_bounds__(kWarp* kWarps)
    finish_product(const T* product, const T* bias, T* pre, T* y, std::int64_t m, std::int64_t n,
                   std::int64_t piece_rows) {
  using Lanes = Pack<T, width>;
  const std::int64_t column = (std::int64_t{blockIdx.x} * kWarp + threadIdx.x) * width;
  if (column >= n) return;
  const std::int64_t first = std::int64_t{blockIdx.y} * piece_rows;
  const std::int64_t last = first + piece_rows < m ? first + piece_rows : m;
  float added[width] = {};
  if (bias != nullptr) {
    const Lanes lanes = Lanes::load(bias + column);
    UNROLL for (int i = 0; i < width; ++i) added[i] = lanes.get(i);
  }
  for (std::int64_t row = first + threadIdx.y; row < last; row += kWarps) {
    const std::int64_t at = row * n + column;
    const Lanes in = Lanes::load(product + at);
    float before[width], after[width];
    UNROLL for (int i = 0; i < width; ++i) {
      before[i] = in.get(i) + added[i];
      after[i] = activate_on_device<kind, T>(before[i]);
    }
    if (pre != nullptr) Lanes::of(before).store(pre + at);
    Lanes::of(after).store(y + at);
  }
}

/// dpre = dy · act'(pre) of [m,n] (null without activation; may be dy), and in partial [pieces,n] (may be null) its
/// column sums over each piece of the rows.
template <class T, int width, Activation kind>
__global__ void __launch_bounds__(kWarp* kWarps)
    start_gradient(const T* pre, const T* dy, T* dpre, float* partial, std::int64_t m, std::int64_t n,
                   std::int64_t piece_rows) {
  using Lanes = Pack<T, width>;
  SHARED(float, sums, [kWarps][kWarp * width]);
  const std::int64_t column = (std::int64_t{blockIdx.x} * kWarp + threadIdx.x) * width;
  const std::int64_t first = std::int64_t{blockIdx.y} * piece_rows;
  const std::int64_t last = first + piece_rows < m ? first + piece_rows : m;
  float sum[width] = {};
  for (std::int64_t row = first + threadIdx.y; row < last && column < n; row += kWarps) {
    const std::int64_t at = row * n + column;
    const Lanes gradient = Lanes::load(dy + at);
    float value[width];
    UNROLL for (int i = 0; i < width; ++i) value[i] = gradient.get(i);
    if constexpr (kind != Activation::none) {
      const Lanes before = Lanes::load(pre + at);
      UNROLL for (int i = 0; i < width; ++i) { value[i] *= activation_slope_on_device<kind, T>(before.get(i)); }
      Lanes::of(value).store(dpre + at);
    }
    UNROLL for (int i = 0; i < width; ++i) sum[i] += value[i];
  }
  if (partial == nullptr) return;
  UNROLL for (int i = 0; i < width; ++i) sums[threadIdx.y][i * kWarp + threadIdx.x] = sum[i];
  __syncthreads();
  const std::int64_t start = std::int64_t{blockIdx.x} * kWarp * width;  // the block's first column
  for (int c = static_cast<int>(threadIdx.y * kWarp + threadIdx.x); c < kWarp * width && start + c < n;
       c += kWarp * kWarps) {
    float total = 0;
    UNROLL for (int warp = 0; warp < kWarps; ++warp) total += sums[warp][c % width * kWarp + c / width];
    partial[std::int64_t{blockIdx.y} * n + start + c] = total;
  }
}

dim3 grid_of(std::int64_t n, int width, const LinearPieces& pieces) {
  return dim3(static_cast<unsigned>(blocks_for(n, std::int64_t{kWarp} * width)), static_cast<unsigned>(pieces.count));
}

/// body(T{}, integral_constant of the width, of the activation): packs where the rows allow it.
template <class Body>
void with_lanes(DType dtype, std::int64_t n, Activation activation, Body&& body) {
  with_real(dtype, [&]<class T>(T zero) {
    with_activation(activation, [&](auto kind) {
      if (n % kPack<T> == 0) {
        body(zero, std::integral_constant<int, kPack<T>>{}, kind);
      } else {
        body(zero, std::integral_constant<int, 1>{}, kind);
      }
    });
  });
}

/// The parts of every product of the op.
Matmul product_of(const DeviceContext& context, DType operands, DType result) {
  Matmul product;
  product.operands = operands;
  product.result = result;
  product.tf32 = context.cuda->tf32;
  return product;
}

}  // namespace

void linear_cuda(DeviceContext& context, const OpCall& call) {
  const LinearSizes size(call.in[kX].shape(), call.in[kW].shape(), call.attributes);
  const DType dtype = call.in[kX].type.dtype;
  const Activation activation = linear_activation(call.attributes);
  const Tensor &bias = call.in[kBias], &pre = call.out[kPre], &y = call.out[kY];
  CudaDevice& device = *context.cuda->device;

  Matmul product = product_of(context, dtype, dtype);
  product.m = size.m, product.n = size.n, product.k = size.k;
  product.a = {.data = call.in[kX].data, .row = size.k};
  product.b = transposed({.data = call.in[kW].data, .row = size.transposed ? size.k : size.n}, size.transposed);
  // What the activation is of goes where backward reads it: one store fewer for the kernel that follows.
  const Tensor& target = activation == Activation::none || !pre ? y : pre;
  product.c = {.data = target.data, .row = size.n};
  bool biased = !bias, activated = activation == Activation::none;
  const auto fuse = [&](Epilogue epilogue, const Tensor& c, const Tensor& aux) {
    Matmul fused = product;
    fused.epilogue = epilogue;
    fused.bias = bias.data;
    fused.c.data = c.data;
    fused.aux = aux.data;
    if (!device.offers(fused)) return false;
    product = fused;
    return true;
  };
  if (activation == Activation::gelu_tanh) biased |= activated = fuse(Epilogue::gelu_tanh, y, pre);
  if (!biased) biased = fuse(Epilogue::bias, target, {});
  device.matmul(product, context.cuda->stream);
  if (biased && activated) return;
  const LinearPieces pieces(size.m);
  with_lanes(dtype, size.n, activation, [&]<class T>(T, auto width, auto kind) {
    launch(context, finish_product<T, width(), kind()>, grid_of(size.n, width, pieces), dim3(kWarp, kWarps), 0,
           target.as<T>(), biased ? nullptr : bias.as<T>(), biased ? nullptr : pre.as<T>(), y.as<T>(), size.m, size.n,
           pieces.rows);
  });
}

void linear_backward_cuda(DeviceContext& context, const OpCall& call) {
  const LinearSizes size(call.in[kBackX].shape(), call.in[kBackW].shape(), call.attributes);
  const DType dtype = call.in[kBackX].type.dtype;
  const Tensor &dpre = call.out[kDpre], &dbias = call.out[kDbias];
  const Mode dx_mode = call.mode[kDx], dw_mode = call.mode[kDw], dbias_mode = call.mode[kDbias];
  CudaDevice& device = *context.cuda->device;

  const bool sums = dbias_mode != Mode::skip;
  if (dpre || sums) {
    const LinearPieces pieces(size.m);
    auto* partial = sums ? static_cast<float*>(context.scratch.data) : nullptr;
    with_lanes(dtype, size.n, linear_activation(call.attributes), [&]<class T>(T, auto width, auto kind) {
      launch(context, start_gradient<T, width(), kind()>, grid_of(size.n, width, pieces), dim3(kWarp, kWarps), 0,
             call.in[kBackPre].as<T>(), call.in[kBackDy].as<T>(), dpre.as<T>(), partial, size.m, size.n, pieces.rows);
    });
    if (sums) {
      sum_partials(context, {dbias.as<float>(), partial, dbias_mode == Mode::accumulate}, {}, pieces.count, size.n);
    }
  }
  void* const gradient = dpre ? dpre.data : call.in[kBackDy].data;  // [M,N]
  if (dx_mode != Mode::skip) {
    Matmul product = product_of(context, dtype, dtype);  // dx [M,K] = gradient · wᵀ
    product.m = size.m, product.n = size.k, product.k = size.n;
    product.a = {.data = gradient, .row = size.n};
    product.b = transposed({.data = call.in[kBackW].data, .row = size.transposed ? size.k : size.n}, !size.transposed);
    product.c = {.data = call.out[kDx].data, .row = size.k};
    product.beta = dx_mode == Mode::accumulate ? 1.0f : 0.0f;
    device.matmul(product, context.cuda->stream);
  }
  if (dw_mode != Mode::skip) {
    // dw [K,N] = xᵀ · gradient, or [N,K] = gradientᵀ · x
    Matmul product = product_of(context, dtype, DType::f32);
    const Matmul::Operand x{.data = call.in[kBackX].data, .row = size.k}, dy{.data = gradient, .row = size.n};
    product.m = size.transposed ? size.n : size.k;
    product.n = size.transposed ? size.k : size.n;
    product.k = size.m;
    product.a = transposed(size.transposed ? dy : x);
    product.b = size.transposed ? x : dy;
    product.c = {.data = call.out[kDw].data, .row = product.n};
    product.beta = dw_mode == Mode::accumulate ? 1.0f : 0.0f;
    device.matmul(product, context.cuda->stream);
  }
}

}  // namespace isoloss
