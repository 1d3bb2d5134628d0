// The real libcudnn is asked, on a machine without a GPU, whether it takes our graphs on GPUs that are only described.
// It matches graphs to engines and compiles their kernels then; loading them is where a GPU would be needed.
#define DOCTEST_CONFIG_IMPLEMENT
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <memory>

#include "kernels/ops/attention/cudnn.plan.h"

namespace isoloss {
namespace {

constexpr int kSkipped = 77;  // as CMakeLists.txt tells ctest

/// Throws CudaFailure where there is no library, or none that is new enough. cuDNN needs a driver's library in the
/// process; the toolkit has a stand-in whose every function fails.
std::unique_ptr<CudnnLibrary> open_library() {
  if (::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr &&
      ::dlopen(ISOLOSS_CUDA_LIBRARIES "/stubs/libcuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw CudaFailure("no libcuda, not even the toolkit's stand-in");
  }
  return std::make_unique<CudnnLibrary>();
}

/// cuDNN's description of a GPU; the numbers are those of CUDA's device attributes.
std::string device(int architecture, int processors, int shared_memory) {
  return fmt::format(
      R"({{"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
      R"("multiProcessorCount":{},"smClockRateKHz":1980000,"memClockRateKHz":2619000,"l2CacheSize":52428800,)"
      R"("warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{},)"
      R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"pciDeviceId":0,"maxCtasPerSM":32,)"
      R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"isTccDriver":0,"supportCoopLaunch":1,"deviceVer":{},)"
      R"("driverVer":13000,"totalGlobalMem":85520809984,"cudaDeviceId":0,"deviceName":"described"}})",
      processors, shared_memory, architecture);
}

const std::string kA100 = device(800, 108, 166912), kH100 = device(900, 132, 232448);

struct Sizes {
  const char* name;
  std::int64_t B, T, H, K, D, window;
};

AttentionDims dims_of(const Sizes& s) {
  const Attributes attributes{{"heads", static_cast<double>(s.H)},
                              {"kv_heads", static_cast<double>(s.K)},
                              {"window", static_cast<double>(s.window)}};
  return {attributes, Shape{s.B, s.T, (s.H + 2 * s.K) * s.D}};
}

/// The first engine gets as far as a machine without the GPU can get.
void check_taken(const CudnnLibrary& library, const CudnnGraph& graph, const std::string& gpu) {
  const CudnnReport report = cudnn_report(library, graph, gpu);
  REQUIRE_FALSE(report.engines.empty());
  CHECK(report.engines[0].same_bits);
  const bool loadable = report.plan.empty() || report.plan.find("cuLibraryLoadData") != std::string::npos;
  CHECK_MESSAGE(loadable, report.plan);
}

}  // namespace

TEST_CASE("cudnn takes the graphs of every kind of attention on Ampere and Hopper") {
  const auto library = open_library();
  const Sizes cases[] = {{"GPT-2 124M", 8, 1024, 12, 12, 64, 0},
                         {"grouped queries, a window, a ragged context", 2, 1000, 12, 4, 96, 100},
                         {"multi-query, wide heads", 2, 512, 8, 1, 128, 0},
                         {"tiny", 1, 5, 2, 2, 8, 3}};
  for (const Sizes& sizes : cases) {
    CAPTURE(sizes.name);
    const AttentionDims dims = dims_of(sizes);
    for (const std::string& gpu : {kA100, kH100}) {
      CAPTURE(gpu);
      check_taken(*library, cudnn_forward(dims), gpu);
      check_taken(*library, cudnn_backward(dims), gpu);
    }
  }
}

TEST_CASE("cudnn: the backward workspace is the price of the same bits") {
  const auto library = open_library();
  const AttentionDims dims = dims_of({"", 8, 1024, 12, 12, 64, 0});
  const auto engines = cudnn_report(*library, cudnn_backward(dims), kH100).engines;
  REQUIRE_FALSE(engines.empty());
  // dS in bf16 for every pair, and little else.
  const std::int64_t pairs = dims.B * dims.H * dims.T * dims.T;
  CHECK(engines[0].workspace >= 2 * pairs);
  CHECK(engines[0].workspace < 2 * pairs + (1 << 20));
}

TEST_CASE("cudnn: a graph that no engine knows has no engine, and an error is one line") {
  const auto library = open_library();
  CHECK(cudnn_report(*library, cudnn_backward(dims_of({"", 1, 64, 2, 2, 4, 0})), kH100).engines.empty());
  CudnnGraph broken = cudnn_forward(dims_of({"", 1, 64, 2, 2, 64, 0}));
  broken.tensors[1].size[2] = 32;  // keys of another width than the queries
  try {
    cudnn_report(*library, broken, kH100);
    FAIL("taken");
  } catch (const CudaFailure& failure) {
    const std::string why = failure.what();
    CHECK(why.starts_with("cuDNN, a product: CUDNN_STATUS_BAD_PARAM"));
    CHECK(why.find('\n') == std::string::npos);
  }
}

TEST_CASE("cudnn: a handle without a GPU says why there is none") {
  const auto library = open_library();
  try {
    const CudnnHandle handle(*library);
    const CudnnPlan plan(*library, cudnn_forward(dims_of({"", 1, 64, 2, 2, 64, 0})), handle.get());
    MESSAGE("a GPU is here: a plan with ", plan.workspace(), " bytes of workspace");
  } catch (const CudaFailure& failure) {
    CHECK(std::string(failure.what()).starts_with("cuDNN, a handle: CUDNN_STATUS_NOT_INITIALIZED"));
  }
}

}  // namespace isoloss

int main(int argc, char** argv) {
  try {
    isoloss::open_library();
  } catch (const isoloss::CudaFailure& failure) {
    fmt::print("skipped, no cuDNN to ask: {}\n", failure.what());
    return isoloss::kSkipped;
  }
  return doctest::Context(argc, argv).run();
}
