#include "tests/harness/op_launch.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "kernels/base/parallel.h"
#include "kernels/base/sanitized.h"
#include "kernels/core/bf16.h"
#include "kernels/cuda/device.h"

namespace isoloss::test {

namespace {

// Bytes before and after; longer than any vector or prefetch a kernel may write.
#if defined(ISOLOSS_ADDRESS_SANITIZED)
constexpr std::size_t kGuard = 0;  // the sanitizer has its own, which ends the program at a read, too
#else
constexpr std::size_t kGuard = 512;
#endif
constexpr int kPattern = 0xFF;          // as f32, f64 and bf16 all-ones bytes are a NaN, as i32 they are -1
constexpr std::align_val_t kAlign{64};  // what the contract promises for scratch

/// Bytes between guard zones on the host, and a copy of both where a device computes.
class GuardedBuffer {
 public:
  /// `cuda` null: the host's memory is what launches see.
  GuardedBuffer(std::size_t bytes, const CudaContext* cuda)
      : bytes_(bytes), cuda_(cuda), host_(static_cast<std::byte*>(::operator new(size(), kAlign))) {
    std::memset(host_.get(), kPattern, size());
    if (cuda_ != nullptr) device_ = static_cast<std::byte*>(cuda_->device->allocate(size()));
  }
  ~GuardedBuffer() {
    if (device_ != nullptr) cuda_->device->release(device_);
  }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  std::byte* host() const { return host_.get() + kGuard; }
  std::byte* seen() const { return device_ != nullptr ? device_ + kGuard : host(); }  ///< by launches
  void to_device() const {
    if (device_ != nullptr) cuda_->device->copy(device_, host_.get(), size(), cuda_->stream);
  }
  void to_host() const {
    if (device_ == nullptr) return;
    cuda_->device->copy(host_.get(), device_, size(), cuda_->stream);
    cuda_->device->synchronize(cuda_->stream);
  }
  bool intact() const {
    const auto untouched = [](const std::byte* zone) {
      for (std::size_t i = 0; i < kGuard; ++i) {
        if (zone[i] != std::byte{kPattern}) return false;
      }
      return true;
    };
    return untouched(host_.get()) && untouched(host() + bytes_);
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kAlign); }
  };
  std::size_t size() const { return bytes_ + 2 * kGuard; }

  std::size_t bytes_;
  const CudaContext* cuda_;
  std::unique_ptr<std::byte, Free> host_;
  std::byte* device_ = nullptr;
};

template <class T>
void copy_in(const Values& values, std::byte* to) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::memcpy(to + i * sizeof(T), &value, sizeof(T));
  }
}

template <class T>
Values copy_out(const std::byte* from, std::int64_t count) {
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    values[i] = static_cast<double>(value);
  }
  return values;
}

/// A float that is stored in two bytes.
struct StoredBf16 {
  std::uint16_t bits;
  StoredBf16() = default;
  explicit StoredBf16(double value) : bits(bf16_bits(static_cast<float>(value))) {}
  explicit operator double() const { return static_cast<double>(bf16_value(bits)); }
};

void put(const Values& values, DType dtype, std::byte* to) {
  if (dtype == DType::bf16) return copy_in<StoredBf16>(values, to);
  if (dtype == DType::f64) return copy_in<double>(values, to);
  if (dtype == DType::i32) return copy_in<std::int32_t>(values, to);
  copy_in<float>(values, to);
}

Values get(const TensorType& type, const std::byte* from) {
  if (type.dtype == DType::bf16) return copy_out<StoredBf16>(from, type.shape.count());
  if (type.dtype == DType::f64) return copy_out<double>(from, type.shape.count());
  if (type.dtype == DType::i32) return copy_out<std::int32_t>(from, type.shape.count());
  return copy_out<float>(from, type.shape.count());
}

}  // namespace

TensorType type_in(const Operand& operand, DType real) {
  TensorType type = operand.type;
  if (type.dtype == DType::f32) type.dtype = real == DType::bf16 ? operand.narrow : real;
  return type;
}

bool is_real(const TensorType& type) { return type.present() && type.dtype != DType::i32 && type.dtype != DType::u8; }

Values rounded(Values values, DType dtype) {
  if (dtype == DType::f64) return values;
  for (double& value : values) {
    const auto single = static_cast<float>(value);
    value = static_cast<double>(dtype == DType::bf16 ? rounded_to_bf16(single) : single);
  }
  return values;
}

bool same_bits(const Values& a, const Values& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint64_t>(a[i]) != std::bit_cast<std::uint64_t>(b[i])) return false;
  }
  return true;
}

LaunchResult launch_op(const OpDef& op, const Attributes& attributes, const StepState& state,
                       const std::vector<Operand>& inputs, const LaunchRequest& request) {
  op.check(attributes);
  LaunchResult result;
  for (const Operand& input : inputs) result.in_types.push_back(type_in(input, request.real));
  result.out_types = op.infer({attributes, result.in_types, {}});
  result.out_types.resize(op.outputs.size());

  DeviceContext context;
  context.kind = request.device;
  context.state = &state;
  if (request.device == DeviceKind::cuda) {
    context.cuda = &cuda_runner().context(state, request.threads);
  } else {
    set_threads(request.threads);
  }

  std::vector<std::unique_ptr<GuardedBuffer>> buffers;
  std::vector<std::string> labels;
  const auto allocate = [&](std::size_t bytes, const std::string& label) -> GuardedBuffer* {
    buffers.push_back(std::make_unique<GuardedBuffer>(bytes, context.cuda));
    labels.push_back(label);
    return buffers.back().get();
  };

  std::vector<Tensor> in, out;
  std::vector<const GuardedBuffer*> in_buffers, out_buffers;  ///< null where the tensor is absent
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Tensor tensor{nullptr, result.in_types[i]};
    const GuardedBuffer* buffer = nullptr;
    if (tensor.type.present()) {
      buffer = allocate(tensor.type.bytes(), std::string("input ") + op.inputs[i].name);
      put(inputs[i].values, tensor.type.dtype, buffer->host());
      tensor.data = buffer->seen();
    }
    in.push_back(tensor);
    in_buffers.push_back(buffer);
  }
  for (std::size_t o = 0; o < op.outputs.size(); ++o) {
    const bool exists = result.out_types[o].present();
    result.modes.push_back(!exists ? Mode::skip : request.modes.empty() ? Mode::write : request.modes[o]);
    Tensor tensor{nullptr, result.out_types[o]};
    const GuardedBuffer* buffer = nullptr;
    if (result.modes[o] != Mode::skip) {
      if (!request.in_place.empty() && request.in_place[o]) {
        buffer = in_buffers[static_cast<std::size_t>(op.input(op.outputs[o].in_place_of))];
      } else {
        buffer = allocate(tensor.type.bytes(), std::string("output ") + op.outputs[o].name);
      }
      if (result.modes[o] == Mode::accumulate) put(request.previous[o], tensor.type.dtype, buffer->host());
      tensor.data = buffer->seen();
    }
    out.push_back(tensor);
    out_buffers.push_back(buffer);
  }
  if (op.scratch != nullptr) {
    const std::size_t bytes =
        op.scratch({attributes, result.in_types, result.out_types}, request.device, request.threads);
    if (bytes > 0) {
      context.scratch = {allocate(bytes, "scratch")->seen(), {DType::u8, {static_cast<std::int64_t>(bytes)}}};
    }
  }
  for (const auto& buffer : buffers) buffer->to_device();
  op.launcher(request.device)(context, {in, out, result.modes, attributes});
  for (const auto& buffer : buffers) buffer->to_host();

  for (std::size_t i = 0; i < in.size(); ++i) {
    result.in_after.push_back(in_buffers[i] != nullptr ? get(in[i].type, in_buffers[i]->host()) : Values{});
  }
  for (std::size_t o = 0; o < out.size(); ++o) {
    result.out.push_back(out_buffers[o] != nullptr ? get(out[o].type, out_buffers[o]->host()) : Values{});
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (!buffers[i]->intact()) result.faults.push_back("wrote outside " + labels[i]);
  }
  return result;
}

}  // namespace isoloss::test
