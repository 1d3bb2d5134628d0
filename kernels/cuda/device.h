// What host code needs to know about the cuda device. No CUDA headers, so that every program can include it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "kernels/core/op.h"

namespace isoloss {

class CudaDevice;

/// A CUDA call or a kernel failed; the message is the runtime's error text.
struct CudaFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The cuda part of a DeviceContext.
struct CudaContext {
  void* stream = nullptr;            ///< where launches go (a cudaStream_t on a GPU)
  CudaDevice* device = nullptr;      ///< memory, streams, matrix products
  const StepState* state = nullptr;  ///< in device memory, so that a captured step can be replayed with another one
  bool tf32 = false;                 ///< matrix products of float32 may run on tensor cores
};

/// What is done to a product on its way to memory. Row-major: a row of C is one token.
enum class Epilogue : std::uint8_t {
  none,
  bias,       ///< C = A·B + bias
  gelu_tanh,  ///< aux = A·B (+ bias), C = gelu_tanh(aux); aux may be null: then it is not stored
};

/// C = alpha · op(A) · op(B) + beta · C, `batch` times, over row-major matrices: op(A) is [m,k], op(B) [k,n], C [m,n].
/// Products of bf16 are summed in float32; those of float32 in float32, or on tensor cores in tf32 where asked for.
struct Matmul {
  struct Operand {
    void* data = nullptr;
    std::int64_t row = 0;     ///< elements from one row in memory to the next
    std::int64_t item = 0;    ///< elements from one matrix of the batch to the next
    bool transposed = false;  ///< memory holds the transpose
  };
  std::int64_t m = 0, n = 0, k = 0, batch = 1;
  DType operands = DType::f32;  ///< of A and B: f32 or bf16
  DType result = DType::f32;    ///< of C and aux: f32 or bf16
  Operand a = {}, b = {}, c = {};
  float alpha = 1, beta = 0;
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;  ///< [n], dtype of the operands; null: without (gelu_tanh alone)
  void* aux = nullptr;         ///< like C
  bool tf32 = false;
};

/// The same memory, read as its transpose. In .cu files this says what `.transposed = true` in a braced list would:
/// nvcc 13.0 makes a list that passes over a member (item), assigned in a template, positional, and sets the wrong one.
inline Matmul::Operand transposed(Matmul::Operand operand, bool yes = true) {
  operand.transposed = yes;
  return operand;
}

/// What reports say about a device.
struct CudaProperties {
  std::string name;          ///< "NVIDIA H200"
  std::string architecture;  ///< "sm_90"
  std::string driver;        ///< the newest CUDA that the driver supports: "13.0"
  std::string runtime;       ///< the CUDA that the program was built with: "13.0"
  std::size_t l2_bytes = 0;  ///< second-level cache
};

/// Memory, streams and matrix products of one GPU, or of the host executor that stands in for one in the tests.
/// Every member throws CudaFailure with the runtime's own text where a call fails.
class CudaDevice {
 public:
  using Stream = void*;
  using Event = void*;
  using CapturedGraph = void*;

  virtual ~CudaDevice() = default;

  virtual std::string name() const = 0;  ///< "NVIDIA H200, sm_90, driver 13.0"
  virtual CudaProperties properties() const = 0;
  virtual std::size_t free_memory() const = 0;  ///< bytes that can be allocated now
  virtual std::size_t total_memory() const = 0;

  virtual void* allocate(std::size_t bytes) = 0;  ///< device memory, 256-byte aligned
  virtual void release(void* memory) = 0;
  virtual void* allocate_pinned(std::size_t bytes) = 0;  ///< host memory that copies can run from in the background
  virtual void release_pinned(void* memory) = 0;

  virtual Stream create_stream() = 0;
  virtual void destroy_stream(Stream stream) = 0;
  virtual void synchronize(Stream stream) = 0;
  /// Any direction; `from` must stay valid until the stream has come past.
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
  virtual void fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream) = 0;

  virtual Event create_event(bool timing) = 0;
  virtual void destroy_event(Event event) = 0;
  virtual void record(Event event, Stream stream) = 0;  ///< in a capture: at every replay
  virtual void wait(Stream stream, Event event) = 0;    ///< the stream waits, not the host
  virtual void synchronize_event(Event event) = 0;      ///< the host waits
  virtual double milliseconds(Event from, Event to) = 0;

  /// Everything that `work` puts on `stream`, as one graph that can be replayed; nothing runs meanwhile.
  virtual CapturedGraph capture(Stream stream, const std::function<void()>& work) = 0;
  virtual void replay(CapturedGraph graph, Stream stream) = 0;
  virtual void destroy_graph(CapturedGraph graph) = 0;

  /// Whether matmul takes this call with its epilogue; where not, the caller uses a kernel of its own.
  virtual bool offers(const Matmul& call) = 0;
  /// Calls follow each other on one stream, since they share a workspace. The first of its kind outside a capture
  /// may take long: it chooses the algorithm.
  virtual void matmul(const Matmul& call, Stream stream) = 0;

  /// Energy used since some fixed time, in joules; nothing where the device does not tell.
  virtual std::optional<double> joules() { return std::nullopt; }

  /// What a library's wrapper keeps as long as the device lives (handles, plans, their memory), one object for each
  /// `key`; empty at first. Gone before anything else of the device.
  virtual std::shared_ptr<void>& attachment(const void* key) = 0;

  virtual void push_range(const char* name) = 0;  ///< NVTX
  virtual void pop_range() = 0;
};

/// Device memory that matrix products use besides their operands, taken when a device is opened: what cuBLAS's manual
/// asks for on Hopper.
inline constexpr std::size_t kMatmulWorkspace = std::size_t{32} << 20;

/// The first GPU that the process may see. Throws CudaFailure with the reason where there is none, or none that this
/// build has code for.
ISOLOSS_OPTIONAL std::shared_ptr<CudaDevice> open_cuda_device();

}  // namespace isoloss
