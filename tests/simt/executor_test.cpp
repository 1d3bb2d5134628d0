// The executor itself: what it computes, and that it catches what kernels get wrong.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/simt/host_device.h"
#include "tests/simt/schedules.h"

namespace isoloss {
namespace {

using simt::contains;
using simt::error_of;

__global__ void sums(float* out, const float* in) {
  out[threadIdx.x] = block_sum<96>(in[threadIdx.x]) + block_max<96>(in[threadIdx.x]);
}

TEST_CASE("block sums and maxima are the same in every schedule") {
  std::vector<float> in(96), out(96);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  CHECK(error_of(96, [&] { sums(out.data(), in.data()); }) == "");
  for (const float value : out) CHECK(value == 96 * 95 / 2 + 95);
}

/// Each thread writes its number and reads its neighbour's; right only with a barrier in between.
template <bool barrier>
__global__ void exchange(int* out) {
  SHARED(int, numbers, [64]);
  numbers[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (barrier) __syncthreads();
  out[threadIdx.x] = numbers[(threadIdx.x + 1) % 64];
}

TEST_CASE("a missing barrier shows as poison in some schedule") {
  std::vector<int> out(64);
  const auto wrong = [&] {
    int count = 0;
    for (int t = 0; t < 64; ++t) count += out[static_cast<std::size_t>(t)] != (t + 1) % 64;
    return count;
  };
  CHECK(error_of(64, [&] { exchange<true>(out.data()); }) == "");
  CHECK(wrong() == 0);
  CHECK(error_of(64, [&] { exchange<false>(out.data()); }) == "");
  CHECK(wrong() > 0);
}

TEST_CASE("a barrier that some threads take elsewhere is an error with both lines") {
  const std::string error = error_of(64, [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  });
  CHECK(contains(error, "__syncthreads while other threads of the block wait at executor_test.cpp:"));
}

TEST_CASE("threads that have ended do not count at a barrier") {
  CHECK(error_of(64, [] {
          if (threadIdx.x >= 40) return;
          __syncthreads();
        }) == "");
}

TEST_CASE("a warp that meets in different instructions is an error") {
  const std::string error = error_of(32, [] {
    if (threadIdx.x < 16) {
      __syncwarp();
    } else {
      __shfl_sync(kWholeWarp, 1, 0);
    }
  });
  CHECK(contains(error, "while other lanes of the warp wait in"));
}

TEST_CASE("lanes that wait for lanes that never come are a deadlock") {
  const std::string error = error_of(64, [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else if (threadIdx.x < 48) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  });
  CHECK((contains(error, "deadlock") || contains(error, "wait at")));
}

TEST_CASE("a lane outside its own mask is an error") {
  CHECK(contains(error_of(32, [] { __syncwarp(0x0000FFFFu); }), "by a lane that its mask leaves out"));
}

TEST_CASE("cp.async is poison until it was waited for, and zero where it is not valid") {
  alignas(16) float source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  float early = 0, late = 0, absent = 1;
  CHECK(error_of(
            1,
            [&] {
              DYNAMIC_SHARED(float, tile);
              copy_async(tile, source, true);
              commit_copies();
              copy_async(tile + 4, source + 4, false);
              commit_copies();
              early = tile[0];
              wait_copies<1>();
              late = tile[0];
              wait_copies<0>();
              absent = tile[4];
            },
            32) == "");
  CHECK(early != early);
  CHECK(late == 1);
  CHECK(absent == 0);
  CHECK(contains(error_of(
                     1,
                     [&] {
                       DYNAMIC_SHARED(float, tile);
                       copy_async(tile, source, true);
                     },
                     16),
                 "never waited for"));
  CHECK(contains(error_of(
                     1,
                     [&] {
                       DYNAMIC_SHARED(float, tile);
                       copy_async(tile, source + 1, true);
                     },
                     16),
                 "misaligned cp.async"));
  CHECK(contains(error_of(
                     1,
                     [&] {
                       DYNAMIC_SHARED(float, tile);
                       copy_async(tile, source + 1, false);
                     },
                     16),
                 "misaligned cp.async"));
}

TEST_CASE("a vector is stored at multiples of its size") {
  alignas(16) float to[8] = {};
  const uint4 four{1, 2, 3, 4};
  const uint2 two{5, 6};
  CHECK(error_of(1, [&] { store_global(to + 4, four), store_global(to + 2, two); }) == "");
  CHECK(__float_as_uint(to[3]) == 6);
  CHECK(__float_as_uint(to[7]) == 4);
  CHECK(contains(error_of(1, [&] { store_global(to + 2, four); }),
                 "a misaligned store of a vector at executor_test.cpp:"));
  CHECK(contains(error_of(1, [&] { store_global(to + 1, two); }),
                 "a misaligned store of a vector at executor_test.cpp:"));
}

TEST_CASE("tensor cores cut off what they align and what they return") {
  const auto sum_of = [](float sum, float left, float right, int products) {
    simt::LeftRow row;
    simt::RightColumns columns;
    for (unsigned k = 0; k < 16; ++k) {
      row.set(k, k < static_cast<unsigned>(products) ? left : 0.0f);
      for (unsigned c = 0; c < 8; ++c) columns.set(k, c, c == 5 ? right : c % 2 == 0 ? INFINITY : 2.0f);
    }
    float sums[8] = {3, 3, 3, 3, 3, sum, 3, 3};  // what the other columns hold does not matter
    simt::tensor_core_sums(sums, row, columns);
    return sums[5];
  };
  CHECK(sum_of(1, 0x1p-13f, 0x1p-12f, 16) == 1 + 0x1p-21f);  // 16 · 2^-25: the last bit that is kept
  CHECK(sum_of(1, 0x1p-13f, 0x1p-13f, 16) == 1);             // 16 · 2^-26: each is lost
  CHECK(sum_of(1, 0x1.8p-12f, 0x1p-12f, 1) == 1);            // 3/4 of an ulp is not rounded up
  CHECK(sum_of(-1, -0x1.8p-12f, 0x1p-12f, 1) == -1);
  CHECK(sum_of(1, 0x1p-12f, 0x1p-12f, 16) == 1 + 0x1p-20f);
  CHECK(sum_of(0, 0x1p-80f, 0x1p-60f, 2) == 0x1p-139f);  // subnormal
  CHECK(sum_of(0, 0x1p70f, 0x1p60f, 1) == INFINITY);
  CHECK(std::isnan(sum_of(0, INFINITY, 0, 1)));
  CHECK(std::isnan(sum_of(NAN, 1, 1, 1)));
  CHECK(std::isnan(sum_of(1, NAN, 0x1p-100f, 1)));
}

TEST_CASE("approximate functions err as much as documented, and have their special cases") {
  using simt::divide_approx;
  CHECK(exp2_approx(-INFINITY) == 0);
  CHECK(exp2_approx(-126) == 0x1p-126f);
  CHECK(exp2_approx(-126.5f) == 0);
  CHECK(exp2_approx(0x1p-130f) == 1);
  CHECK(exp2_approx(3) == 8);
  CHECK(exp2_approx(128) == INFINITY);
  CHECK(std::isnan(exp2_approx(NAN)));
  const auto ulps = [](float got, float exact) {
    return static_cast<int>(__float_as_uint(got)) - static_cast<int>(__float_as_uint(exact));
  };
  std::set<int> of_exp2, of_divide, of_reciprocal;
  for (int i = 1; i < 1000; ++i) {
    const float x = static_cast<float>(i) * 0.0637f;
    if (x != std::floor(x)) of_exp2.insert(ulps(exp2_approx(-x), std::exp2(-x)));
    of_divide.insert(ulps(divide_approx(1, x), 1 / x));
    of_reciprocal.insert(ulps(reciprocal_approx(x), 1 / x));
  }
  CHECK(of_exp2 == std::set<int>{-2, 2});
  CHECK(of_divide == std::set<int>{-2, 2});
  CHECK(of_reciprocal == std::set<int>{-1, 1});
  CHECK(divide_approx(1, 0x1.8p126f) == 0);
  CHECK(std::isnan(divide_approx(INFINITY, 0x1.8p126f)));
  CHECK(divide_approx(1, INFINITY) == 0);
  CHECK(divide_approx(1, 0) == INFINITY);
  CHECK(reciprocal_approx(-0.0f) == -INFINITY);
  CHECK(reciprocal_approx(0x1p-130f) == INFINITY);
  CHECK(reciprocal_approx(-0x1p127f) == 0);
  CHECK(std::isnan(reciprocal_approx(NAN)));
}

__global__ void multiply(float* c, const bf16* a, const bf16* b) {  // [16,16] · [16,8], b stored [8,16]
  const int lane = static_cast<int>(threadIdx.x);
  std::uint32_t left[4], right[4];
  ldmatrix(left, a + (lane % 16) * 16 + lane / 16 * 8);
  ldmatrix(right, b + (lane % 8) * 16 + lane / 8 % 2 * 8);
  float sum[4] = {};
  mma_bf16(sum, left, right[0], right[1]);
  for (int e = 0; e < 4; ++e) c[(lane / 4 + e / 2 * 8) * 8 + lane % 4 * 2 + e % 2] = sum[e];
}

TEST_CASE("ldmatrix and mma compute a product") {
  alignas(16) bf16 a[256], b[128];
  float c[128];
  for (int i = 0; i < 256; ++i) a[i] = __float2bfloat16(static_cast<float>(i * 7 % 13 - 6));
  for (int i = 0; i < 128; ++i) b[i] = __float2bfloat16(static_cast<float>(i * 5 % 11 - 5));
  CHECK(error_of(32, [&] { multiply(c, a, b); }) == "");
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += to_float(a[i * 16 + k]) * to_float(b[j * 16 + k]);
      CHECK(c[i * 8 + j] == sum);
    }
  }
}

TEST_CASE("impossible launches are refused") {
  CHECK(contains(error_of(1025, [] {}), "1025x1x1 threads"));
  CHECK(contains(error_of(
                     32, [] {}, 300 * 1024),
                 "bytes of shared memory"));
  const auto both = [] {
    SHARED(int, one, [1]);
    one[0] = 0;
  };
  CHECK(contains(error_of(32, both, 227 * 1024), "more than 227 KiB of static and dynamic"));
  CHECK(error_of(32, both, 227 * 1024 - 4) == "");
  const auto large = [] {
    SHARED(char, many, [48 * 1024 + 1]);
    many[0] = 0;
  };
  CHECK(contains(error_of(32, large), "more than 48 KiB of static"));
}

TEST_CASE("what is attached to a device goes before its memory, one object for each key") {
  struct Memory {
    explicit Memory(CudaDevice& on) : device(on), data(on.allocate(100)) {}
    ~Memory() { device.release(data); }
    CudaDevice& device;
    void* data;
  };
  static constexpr char kOne = 0, kTwo = 0;
  simt::HostDevice device;
  CHECK(device.attachment(&kOne) == nullptr);
  device.attachment(&kOne) = std::make_shared<Memory>(device);
  CHECK(device.attachment(&kOne) != nullptr);
  CHECK(device.attachment(&kTwo) == nullptr);
}

TEST_CASE("a captured stream records instead of running") {
  simt::HostDevice device;
  const auto stream = device.create_stream();
  int runs = 0;
  const auto graph = device.capture(stream, [&] { simt::launch(stream, 1, 1, 0, [&] { ++runs; }); });
  CHECK(runs == 0);
  device.replay(graph, stream);
  device.replay(graph, stream);
  CHECK(runs == 2);
  device.destroy_graph(graph);
  device.destroy_stream(stream);
}

}  // namespace
}  // namespace isoloss
