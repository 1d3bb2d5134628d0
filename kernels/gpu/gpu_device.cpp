// The CUDA runtime behind the interface that the engine knows.
#include <cuda_runtime.h>
#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <optional>

#include "kernels/cuda/device.h"
#include "kernels/gpu/architectures.h"
#include "kernels/gpu/cublaslt.h"
#include "kernels/gpu/energy.h"

namespace isoloss {

namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw CudaFailure(fmt::format("{}: {}", what, cudaGetErrorString(status)));
}

/// The same where a kernel that was launched earlier may be to blame, and nobody can say which.
void check_waiting(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw CudaFailure(
      fmt::format("{}: {}; --device check stops at the operation that fails", what, cudaGetErrorString(status)));
}

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

std::string pci_address(int index) {
  char text[32] = {};
  check(cudaDeviceGetPCIBusId(text, sizeof text, index), "cudaDeviceGetPCIBusId");
  return text;
}

class GpuDevice : public CudaDevice {
 public:
  explicit GpuDevice(int index) : energy_(pci_address(index)) {
    check(cudaSetDevice(index), "cudaSetDevice");
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    const std::string problem = why_not_usable(ISOLOSS_CUDA_ARCHITECTURES, properties.major, properties.minor);
    if (!problem.empty()) throw CudaFailure(fmt::format("{}: {}", properties.name, problem));
    int driver = 0, runtime = 0;
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    properties_ = {.name = properties.name,
                   .architecture = fmt::format("sm_{}{}", properties.major, properties.minor),
                   .driver = version_text(driver),
                   .runtime = version_text(runtime),
                   .l2_bytes = static_cast<std::size_t>(properties.l2CacheSize)};
    total_memory_ = properties.totalGlobalMem;
    products_.emplace(properties_.name + " " + properties_.architecture);
  }

  std::string name() const override {
    const CudaProperties& p = properties_;
    return fmt::format("{}, {}, driver {}, CUDA {}", p.name, p.architecture, p.driver, p.runtime);
  }
  CudaProperties properties() const override { return properties_; }
  std::size_t free_memory() const override {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return free;
  }
  std::size_t total_memory() const override { return total_memory_; }

  void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes > 0 ? bytes : 1), "cudaMalloc");
    return memory;
  }
  void release(void* memory) override { cudaFree(memory); }
  void* allocate_pinned(std::size_t bytes) override {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, bytes > 0 ? bytes : 1), "cudaMallocHost");
    return memory;
  }
  void release_pinned(void* memory) override { cudaFreeHost(memory); }

  Stream create_stream() override {
    cudaStream_t stream = nullptr;
    // Not ordered with the default stream, which nothing here uses.
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    return stream;
  }
  void destroy_stream(Stream stream) override { cudaStreamDestroy(stream_of(stream)); }
  void synchronize(Stream stream) override {
    check_waiting(cudaStreamSynchronize(stream_of(stream)), "cudaStreamSynchronize");
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override {
    check_waiting(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(stream)), "cudaMemcpyAsync");
  }
  void fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream) override {
    check_waiting(cudaMemsetAsync(to, byte, bytes, stream_of(stream)), "cudaMemsetAsync");
  }

  Event create_event(bool timing) override {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, timing ? cudaEventDefault : cudaEventDisableTiming), "cudaEventCreate");
    return event;
  }
  void destroy_event(Event event) override { cudaEventDestroy(event_of(event)); }
  void record(Event event, Stream stream) override {
    // In a capture an ordinary record only orders; an external one becomes a node that records at every replay.
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(stream_of(stream), &status), "cudaStreamIsCapturing");
    const unsigned flags = status == cudaStreamCaptureStatusNone ? cudaEventRecordDefault : cudaEventRecordExternal;
    check(cudaEventRecordWithFlags(event_of(event), stream_of(stream), flags), "cudaEventRecord");
  }
  void wait(Stream stream, Event event) override {
    check(cudaStreamWaitEvent(stream_of(stream), event_of(event), 0), "cudaStreamWaitEvent");
  }
  void synchronize_event(Event event) override {
    check_waiting(cudaEventSynchronize(event_of(event)), "cudaEventSynchronize");
  }
  double milliseconds(Event from, Event to) override {
    float elapsed = 0;
    check(cudaEventElapsedTime(&elapsed, event_of(from), event_of(to)), "cudaEventElapsedTime");
    return static_cast<double>(elapsed);
  }

  CapturedGraph capture(Stream stream, const std::function<void()>& work) override {
    check(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();  // the capture must end before anything else can run on the stream
    }
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_of(stream), &graph);
    const std::unique_ptr<CUgraph_st, decltype(&cudaGraphDestroy)> owner(graph, cudaGraphDestroy);
    if (failure) std::rethrow_exception(failure);
    check(ended, "cudaStreamEndCapture");
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    return executable;
  }
  void replay(CapturedGraph graph, Stream stream) override {
    check_waiting(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(stream)), "cudaGraphLaunch");
  }
  void destroy_graph(CapturedGraph graph) override { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

  bool offers(const Matmul& call) override { return products_->offers(call); }
  void matmul(const Matmul& call, Stream stream) override { products_->run(call, stream); }

  std::optional<double> joules() override { return energy_.joules(); }

  std::shared_ptr<void>& attachment(const void* key) override { return attachments_[key]; }

  void push_range(const char* name) override { nvtxRangePushA(name); }
  void pop_range() override { nvtxRangePop(); }

 private:
  GpuEnergy energy_;
  CudaProperties properties_;
  std::size_t total_memory_ = 0;
  std::optional<CublasLt> products_;
  std::map<const void*, std::shared_ptr<void>> attachments_;
};

}  // namespace

std::shared_ptr<CudaDevice> open_cuda_device() {
  int driver = 0, runtime = 0, count = 0;
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) throw CudaFailure("no NVIDIA driver");
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    throw CudaFailure(fmt::format("a driver for CUDA {}, older than the {} of this build", version_text(driver),
                                  version_text(runtime)));
  }
  check(status, "cudaGetDeviceCount");
  if (count == 0) throw CudaFailure("no GPU is visible");
  return std::make_shared<GpuDevice>(0);
}

}  // namespace isoloss
