// The race detector: what it finds, and what it must not take for a race. In test_simt_race only.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/simt/host_device.h"
#include "tests/simt/schedules.h"

namespace isoloss {
namespace {

using simt::contains;
using simt::error_of;

/// The line of the call, to find it again in a report.
std::string here(int offset, simt::Location where = simt::Location::current()) {
  return "race_test.cpp:" + std::to_string(static_cast<int>(where.line()) + offset);
}

enum class Sync { none, warp, block };

template <Sync sync>
DEVICE void meet() {
  if (sync == Sync::warp) __syncwarp();
  if (sync == Sync::block) __syncthreads();
}

/// Each thread writes its place and reads that of its neighbour, `round` times.
template <Sync between, Sync after>
__global__ void exchange(int* out, int rounds) {
  SHARED(int, places, [64]);
  const unsigned next = (threadIdx.x + 1) % blockDim.x;
  for (int round = 0; round < rounds; ++round) {
    places[threadIdx.x] = round;
    meet<between>();
    out[threadIdx.x] = places[next];
    meet<after>();
  }
}

TEST_CASE("race: a write that a barrier should have ended before the read, and the read before the next write") {
  std::vector<int> out(64);
  const auto error = [&](auto kernel, unsigned threads) { return error_of(threads, [&] { kernel(out.data(), 2); }); };
  CHECK(error(exchange<Sync::block, Sync::block>, 64) == "");
  CHECK(error(exchange<Sync::warp, Sync::warp>, 32) == "");
  const std::string early = error(exchange<Sync::none, Sync::block>, 64);
  CHECK(contains(early, "race on static shared memory, byte "));
  CHECK(contains(early, " of 256: thread "));
  CHECK(contains(early, "writes it at race_test.cpp:"));
  CHECK(contains(early, "reads it at race_test.cpp:"));
  CHECK(contains(early, " in exchange<"));
  CHECK(contains(error(exchange<Sync::block, Sync::none>, 64), "race on static shared memory"));
  CHECK(contains(error(exchange<Sync::warp, Sync::none>, 32), "race on static shared memory"));
  CHECK(contains(error(exchange<Sync::none, Sync::warp>, 32), "race on static shared memory"));
  // A warp's meeting orders nothing across warps.
  CHECK(contains(error(exchange<Sync::warp, Sync::block>, 64), "race on static shared memory"));
}

DEVICE void put_there(int* place) { *place = 1; }
__global__ void hand_over(int* out) {
  SHARED(int, place);
  if (threadIdx.x == 40) put_there(&place);
  if (threadIdx.x == 7) out[0] = place;
}

TEST_CASE("race: a report names threads, lines and kernel, also where a function was inlined") {
  std::vector<int> out(64);
  const std::string error = error_of(64, [&] { hand_over(out.data()); });
  CHECK(contains(error, "thread 7 of block 0 reads it at " + here(-6) + " in hand_over;"));
  CHECK(contains(error, "thread 40 of block 0 writes it at " + here(-8)));
  CHECK(contains(error, "(through " + here(-12) + ") in hand_over;"));
}

/// Thread 0 writes sixteen bytes at once, then those of eight threads that are named write two of them each, thread 7
/// those of `last`; then thread 3 reads all of them.
template <Sync before, Sync after>
__global__ void in_parts(uint4* out, unsigned threads, unsigned last) {
  SHARED(uint4, whole);
  auto* const parts = reinterpret_cast<std::uint16_t*>(&whole);
  if (threadIdx.x == 0) whole = uint4{};
  meet<before>();
  if ((threads >> threadIdx.x & 1) != 0) parts[threadIdx.x == 7 ? last : threadIdx.x] = 1;
  meet<after>();
  if (threadIdx.x == 3) *out = whole;
}

TEST_CASE("race: bytes that were written together are told apart by two") {
  std::vector<uint4> out(1);
  const auto error = [&](auto kernel, unsigned threads, unsigned last) {
    return error_of(8, [&] { kernel(out.data(), threads, last); });
  };
  constexpr unsigned kAll = 0xFF;
  CHECK(error(in_parts<Sync::block, Sync::block>, kAll, 7) == "");
  for (const unsigned last : {0u, 3u, 6u}) {
    CHECK(contains(error(in_parts<Sync::block, Sync::block>, kAll, last),
                   "race on static shared memory, byte " + std::to_string(2 * last) + " of 16"));
  }
  simt::set_schedule({simt::Order::forward});  // the whole first
  for (unsigned thread = 1; thread < 8; ++thread) {
    CAPTURE(thread);
    CHECK_THROWS_WITH_AS(
        simt::run_grid(1, 8, 0, [&] { in_parts<Sync::none, Sync::block>(out.data(), 1u << thread, 7); }),
        doctest::Contains("race on static shared memory"), CudaFailure);
  }
  for (unsigned thread = 0; thread < 8; ++thread) {
    CAPTURE(thread);
    CHECK(contains(error(in_parts<Sync::block, Sync::none>, 1u << thread, 7), "race") == (thread != 3));
  }
}

TEST_CASE("race: shuffles exchange registers and order no memory") {
  CHECK(contains(error_of(32,
                          [] {
                            SHARED(float, place);
                            if (threadIdx.x == 0) place = 1;
                            warp_sum(1.0f);
                            if (threadIdx.x == 1) warp_sum(place);
                          }),
                 "race on static shared memory"));
}

TEST_CASE("race: lanes that meet are ordered among each other and with nobody else") {
  std::vector<int> out(32);
  const auto reader = [&](unsigned lane) {
    return error_of(4, [&, lane] {
      SHARED(int, place);
      if (threadIdx.x == 0) place = 1;
      __syncwarp(threadIdx.x < 2 ? 0b0011 : 0b1100);
      if (threadIdx.x == lane) out[0] = place;
    });
  };
  CHECK(reader(1) == "");
  CHECK(contains(reader(2), "race"));
}

TEST_CASE("race: every reader counts, not only the last") {
  for (const unsigned writer : {0u, 1u, 31u, 32u, 63u}) {
    CHECK(contains(error_of(64,
                            [writer] {
                              SHARED(int, place);
                              if (threadIdx.x == 5) place = 0;
                              __syncthreads();
                              volatile int seen = place;
                              if (threadIdx.x == writer) place = seen + 1;
                            }),
                   "race on static shared memory"));
  }
}

TEST_CASE("race: blocks are not ordered, kernels are") {
  std::vector<float> memory(64);
  float* const at = memory.data();
  CHECK(contains(error_of(
                     32, [at] { at[threadIdx.x] = 1; }, 0, 2),
                 "race on global memory"));
  CHECK(contains(error_of(
                     32,
                     [at] {
                       if (blockIdx.x == 0) at[threadIdx.x] = 1;
                       if (blockIdx.x == 1) at[32 + threadIdx.x] = at[threadIdx.x];
                     },
                     0, 2),
                 "of block 1 "));
  CHECK(error_of(
            32, [at] { at[blockIdx.x * 32 + threadIdx.x] = 1; }, 0, 2) == "");
  CHECK(error_of(
            32, [at] { at[32 * blockIdx.x + threadIdx.x] = at[31 - threadIdx.x + 32 * blockIdx.x] + 1; }, 0, 2) != "");
  CHECK(error_of(
            32, [at] { Pack<float>::load(at); }, 0, 2) == "");
  // Shared memory of one block may lie where that of the block before lay.
  CHECK(error_of(
            32,
            [] {
              DYNAMIC_SHARED(float, tile);
              SHARED(float, other, [32]);
              tile[threadIdx.x] = other[threadIdx.x] = 1;
            },
            128, 8) == "");
}

TEST_CASE("race: neighbouring elements of two bytes are apart, overlapping packs are not") {
  alignas(16) bf16 memory[64];
  bf16* const at = memory;
  CHECK(error_of(64, [at] { at[threadIdx.x] = from_float<bf16>(1); }) == "");
  CHECK(error_of(8, [at] { Pack<bf16>{}.store(at + threadIdx.x * kPack<bf16>); }) == "");
  CHECK(contains(error_of(8,
                          [at] {
                            Pack<bf16>{}.store(at + threadIdx.x * kPack<bf16>);
                            if (threadIdx.x == 3) at[33] = from_float<bf16>(1);
                          }),
                 "race on global memory"));
  CHECK(contains(error_of(2, [at] { std::memcpy(at + threadIdx.x * 16, at + 16, 32); }), "race on global memory"));
  CHECK(contains(error_of(2, [at] { std::memset(at, 0, 32); }), "race on global memory"));
}

TEST_CASE("race: atomics do not race with each other, but with everything else") {
  int count = 0;
  int* const at = &count;
  std::vector<int> out(64);
  CHECK(error_of(
            64, [at] { atomicAdd(at, 1); }, 0, 3) == "");
  CHECK(count == 4 * 64 * 3);
  CHECK(error_of(64, [at] { atomicMin(at, static_cast<int>(threadIdx.x)); }) == "");
  CHECK(contains(error_of(64, [at] { *at += 1; }), "race on global memory"));
  CHECK(contains(error_of(64,
                          [&, at] {
                            atomicAdd(at, 1);
                            if (threadIdx.x == 9) out[0] = *at;
                          }),
                 "changes atomically it"));
  CHECK(error_of(64, [&, at] {
          atomicAdd(at, 1);
          __syncthreads();
          out[threadIdx.x] = *at;
        }) == "");
}

/// Every thread copies four floats and reads those of its neighbour.
template <bool waits, bool barrier, bool before_next>
__global__ void copies(float* out, const float* in) {
  DYNAMIC_SHARED(float, tile);
  const unsigned own = threadIdx.x, next = (own + 1) % blockDim.x;
  for (int round = 0; round < 2; ++round) {
    copy_async(tile + own * 4, in + own * 4, true);
    commit_copies();
    if (waits) wait_copies<0>();
    if (barrier) __syncthreads();
    out[own] = tile[next * 4];
    if (!waits) wait_copies<0>();
    if (before_next) __syncthreads();
  }
}

TEST_CASE("race: what cp.async writes is there after the wait, for others after a barrier besides") {
  std::vector<float> out(64);
  alignas(16) float in[64 * 4] = {};
  const auto error = [&](auto kernel) {
    return error_of(
        64, [&] { kernel(out.data(), in); }, 64 * 16);
  };
  CHECK(error(copies<true, true, true>) == "");
  CHECK(contains(error(copies<false, true, true>), "copies asynchronously to it at "));
  CHECK(contains(error(copies<true, false, true>), "race on dynamic shared memory"));
  CHECK(contains(error(copies<true, true, false>), "race on dynamic shared memory"));
  // The thread's own copy is not there before the wait either, and its source must stay until then.
  CHECK(contains(error_of(
                     1,
                     [&] {
                       DYNAMIC_SHARED(float, tile);
                       copy_async(tile, in, true);
                       out[0] = tile[0];
                       commit_copies();
                       wait_copies<0>();
                     },
                     16),
                 "race on dynamic shared memory"));
  CHECK(contains(error_of(
                     2,
                     [&] {
                       DYNAMIC_SHARED(float, tile);
                       if (threadIdx.x == 0) copy_async(tile, in, true);
                       commit_copies();
                       __syncthreads();
                       if (threadIdx.x == 1) in[2] = 1;
                       wait_copies<0>();
                     },
                     16),
                 "race on global memory"));
}

template <bool barrier>
__global__ void rows_to_fragments(float* out) {
  SHARED(bf16, tile, [32 * 8]);
  for (int c = 0; c < 8; ++c) tile[threadIdx.x * 8 + c] = from_float<bf16>(1);
  if (barrier) __syncwarp();
  std::uint32_t fragment[4];
  ldmatrix(fragment, tile + threadIdx.x * 8);
  out[threadIdx.x] = static_cast<float>(fragment[0]);
}

TEST_CASE("race: ldmatrix reads rows that other lanes name") {
  std::vector<float> out(32);
  CHECK(error_of(32, [&] { rows_to_fragments<true>(out.data()); }) == "");
  CHECK(contains(error_of(32, [&] { rows_to_fragments<false>(out.data()); }), "in rows_to_fragments<false>"));
}

TEST_CASE("race: what the device does between kernels is ordered") {
  simt::HostDevice device;
  const auto stream = device.create_stream();
  auto* const memory = static_cast<float*>(device.allocate(64 * sizeof(float)));
  const auto kernel = [&] { memory[threadIdx.x] = memory[threadIdx.x] + 1; };
  device.fill(memory, 0, 64 * sizeof(float), stream);
  simt::launch(stream, 1, 32, 0, kernel);
  device.copy(memory + 32, memory, 32 * sizeof(float), stream);
  Matmul product{.m = 4, .n = 4, .k = 4};
  product.a = {.data = memory, .row = 4}, product.b = {.data = memory + 16, .row = 4};
  product.c = {.data = memory + 32, .row = 4};
  device.matmul(product, stream);
  simt::launch(stream, 1, 64, 0, kernel);
  CHECK(memory[0] == 2);
  CHECK(memory[32] == 5);
  device.release(memory);
  device.destroy_stream(stream);
}

}  // namespace
}  // namespace isoloss
