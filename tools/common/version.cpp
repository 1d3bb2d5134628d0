#include "tools/common/version.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace isoloss {

namespace {

constexpr const char* kProcessor =
#if defined(__x86_64__)
    "x86-64";
#elif defined(__aarch64__)
    "aarch64";
#else
    "another architecture";
#endif

/// What the compiler was allowed to use, for this file as for the kernels. Only what numbers are computed with.
const std::vector<const char*>& features() {
  static const std::vector<const char*> used = {
#ifdef __SSE2__
      "sse2",
#endif
#ifdef __AVX__
      "avx",
#endif
#ifdef __F16C__
      "f16c",
#endif
#ifdef __FMA__
      "fma",
#endif
#ifdef __AVX2__
      "avx2",
#endif
#ifdef __AVX512F__
      "avx512f",
#endif
#ifdef __AVX512BW__
      "avx512bw",
#endif
#ifdef __AVX512DQ__
      "avx512dq",
#endif
#ifdef __AVX512VL__
      "avx512vl",
#endif
#ifdef __AVX512BF16__
      "avx512_bf16",
#endif
#ifdef __ARM_NEON
      "asimd",
#endif
#ifdef __ARM_FEATURE_SVE
      "sve",
#endif
#ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
      "bf16",
#endif
  };
  return used;
}

}  // namespace

const char* build_version() { return ISOLOSS_VERSION; }
const char* build_commit() { return ISOLOSS_COMMIT; }

std::string version_text(std::string_view program) {
  const std::string_view commit = build_commit();
  return fmt::format("{} (isoloss) {}\ncommit: {}\ndevices: {}\nprocessor: {} {}", program, build_version(),
                     commit.empty() ? "unknown" : commit, ISOLOSS_DEVICES, kProcessor, fmt::join(features(), " "));
}

}  // namespace isoloss
