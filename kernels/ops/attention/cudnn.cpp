// Attention by cuDNN's fused kernels.
//
// A plan is built for each shape, set of attributes and direction that is launched, and kept with the device; q, k and
// v are read where they lie in the packed tokens, and the gradients are written there.
//
// Memory: a plan's workspace is known only when the plan is built, too late for the memory plan of a model, so it is
// taken from the device beside it. Forward takes next to nothing, backward 2·B·H·T² bytes on Hopper. Neither building
// nor taking memory is possible while a step is captured, and neither happens there: whatever is captured has been
// launched once before (engine/cuda_steps.cpp). A workspace never moves, since captured steps hold its address; plans
// of one shape share it, as all launches follow each other on one stream.
//
// Same bits: the backward graph is the form that NVIDIA's own frontend takes where a deterministic algorithm is asked
// for, and engines that carry cuDNN's note of nondeterminism are left out (the note alone does not tell the two forms
// apart). Which engine is taken follows from graph, GPU and version of cuDNN.
#include <compare>
#include <map>
#include <memory>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/ops/attention/cudnn.plan.h"

namespace isoloss {

namespace {

enum class Direction : std::uint8_t { forward, backward };

/// What a plan is made for.
struct Key {
  Direction direction;
  std::int64_t B, T, H, K, D, window;
  auto operator<=>(const Key&) const = default;
};

CudnnGraph graph_of(Direction direction, const AttentionDims& dims) {
  return direction == Direction::forward ? cudnn_forward(dims) : cudnn_backward(dims);
}

/// A plan with its memory.
class Prepared {
 public:
  Prepared(const CudnnLibrary& library, CudnnGraph graph, cudnnHandle_t handle, CudaDevice& device)
      : plan_(library, std::move(graph), handle),
        device_(device),
        workspace_(plan_.workspace() > 0 ? device.allocate(plan_.workspace()) : nullptr) {}
  ~Prepared() {
    if (workspace_ != nullptr) device_.release(workspace_);
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  void run(cudnnHandle_t handle, const CudnnMemory& memory) { plan_.run(handle, memory, workspace_); }

 private:
  CudnnPlan plan_;
  CudaDevice& device_;
  void* workspace_;
};

/// What a device keeps for these operations.
class DeviceAttention {
 public:
  explicit DeviceAttention(CudaDevice& device) : device_(device), handle_(library_) {}

  /// The one of `device`, made when it is first needed.
  static DeviceAttention& of(CudaDevice& device) {
    static constexpr char kKey = 0;
    std::shared_ptr<void>& kept = device.attachment(&kKey);
    if (kept == nullptr) kept = std::make_shared<DeviceAttention>(device);
    return *static_cast<DeviceAttention*>(kept.get());
  }

  void run(Direction direction, const AttentionDims& dims, void* stream, const CudnnMemory& memory) {
    const Key key{direction, dims.B, dims.T, dims.H, dims.K, dims.D, dims.window};
    std::unique_ptr<Prepared>& prepared = plans_[key];
    if (prepared == nullptr) {
      prepared = std::make_unique<Prepared>(library_, graph_of(direction, dims), handle_.get(), device_);
    }
    library_.check(library_.SetStream(handle_.get(), static_cast<cudaStream_t>(stream)), "a stream");
    prepared->run(handle_.get(), memory);
  }

 private:
  CudaDevice& device_;
  CudnnLibrary library_;
  CudnnHandle handle_;
  std::map<Key, std::unique_ptr<Prepared>> plans_;
};

void launch(const char* op, Direction direction, const DeviceContext& context, const OpCall& call,
            const CudnnMemory& memory) {
  const Tensor& qkv = call.in[0];
  const AttentionDims dims(call.attributes, qkv.shape());
  expect(qkv.type.dtype == DType::bf16, op, "bf16 on cuda, which is all that cuDNN's attention computes in",
         name_of(qkv.type.dtype));
  expect(dims.D % 8 == 0, op, "a head width that is a multiple of 8 on cuda", std::to_string(dims.D));
  DeviceAttention::of(*context.cuda->device).run(direction, dims, context.cuda->stream, memory);
}

}  // namespace

void attention_cudnn_cuda(DeviceContext& context, const OpCall& call) {
  const bool lse_wanted = call.mode[1] != Mode::skip;
  launch("attention_cudnn", Direction::forward, context, call,
         {.qkv = call.in[0].data, .y = call.out[0].data, .lse = lse_wanted ? call.out[1].data : context.scratch.data});
}

void attention_cudnn_backward_cuda(DeviceContext& context, const OpCall& call) {
  launch("attention_cudnn_backward", Direction::backward, context, call,
         {.qkv = call.in[0].data,
          .y = call.in[1].data,
          .lse = call.in[2].data,
          .dy = call.in[3].data,
          .dqkv = call.out[0].data,
          .scratch = context.scratch.data});
}

}  // namespace isoloss
