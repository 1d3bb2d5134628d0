// What the instructions wrapped in kernels/cuda/ptx.cuh do, on the host. Fragment layouts: PTX ISA, "Warp Level Matrix
// Multiply-Accumulate Instructions".
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/simt/executor.h"

namespace simt {

/// A store of all of `words` at once.
template <class Words>
void store_aligned(void* to, const Words& words, Location where) {
  if (reinterpret_cast<std::uintptr_t>(to) % sizeof words != 0) fail("a misaligned store of a vector", where);
  std::memcpy(to, &words, sizeof words);
}

struct MatrixRow {
  const void* start;
  const void* code;  ///< the instruction
};

/// Four 8x8 matrices of 16-bit elements; lane 8·m + i gives the address of row i of matrix m.
template <bool transposed>
[[gnu::noinline]] void load_matrices(std::uint32_t (&fragment)[4], const void* row, Location where) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) fail("an ldmatrix row that is not 16-byte aligned", where);
  const MatrixRow in{row, __builtin_return_address(0)};
  touch(row, 16, Touch::read, in.code);
  meet(
      0xFFFFFFFFu, Collective::ldmatrix, &in, fragment,
      [](Meeting& meeting) {
        counters().ldmatrix += 1;
        for (unsigned m = 0; m < 4; ++m) {
          const std::uint16_t* rows[8];
          unsigned banks = 0;
          for (unsigned i = 0; i < 8; ++i) {
            const auto& given = *static_cast<const MatrixRow*>(meeting.in[m * 8 + i]);
            touch(given.start, 16, Touch::read, given.code);  // each lane gets parts of the rows of others
            rows[i] = static_cast<const std::uint16_t*>(given.start);
            const unsigned bank = 1u << (reinterpret_cast<std::uintptr_t>(rows[i]) / 16 % 8);  // of 16 bytes each
            counters().bank_conflicts += (banks & bank) != 0 ? 1 : 0;
            banks |= bank;
          }
          for (unsigned l = 0; l < 32; ++l) {
            const unsigned major = l / 4, minor = l % 4 * 2;
            const std::uint16_t low = transposed ? rows[minor][major] : rows[major][minor];
            const std::uint16_t high = transposed ? rows[minor + 1][major] : rows[major][minor + 1];
            static_cast<std::uint32_t*>(meeting.out[l])[m] = low | std::uint32_t{high} << 16;
          }
        }
      },
      where);
}

struct MmaOperands {
  const std::uint32_t* a;
  std::uint32_t b0, b1;
};
void multiply_what_met(Meeting& meeting);  ///< in tensor_core.cpp

/// d[16,8] += a[16,16] · b[16,8], bf16 operands, float32 sums.
inline void multiply_matrices(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                              Location where) {
  const MmaOperands in{a, b0, b1};
  meet(0xFFFFFFFFu, Collective::mma, &in, d, multiply_what_met, where);
}

}  // namespace simt
