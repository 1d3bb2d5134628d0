// libcudnn: opened at run time, so that programs start without it; its functions in one table, its descriptors owned,
// its status codes turned into errors.
#pragma once

#include <cudnn.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/gpu/library.h"

namespace isoloss {

/// The oldest version whose attention is right for every context: until 9.15 the backward pass needed the keys padded
/// to a multiple of 128.
inline constexpr std::size_t kCudnnOldest = 91600;

/// The functions that are used of the library.
struct CudnnLibrary {
  DynamicLibrary library{"libcudnn.so.9"};
// clang-format off
#define ISOLOSS_CUDNN_FUNCTIONS(X) \
  X(GetVersion) X(GetErrorString) X(GetLastErrorString) X(Create) X(Destroy) X(SetStream) \
  X(BackendCreateDescriptor) X(BackendDestroyDescriptor) X(BackendSetAttribute) X(BackendGetAttribute) \
  X(BackendFinalize) X(BackendExecute)
// clang-format on
#define ISOLOSS_CUDNN_FUNCTION(name) decltype(::cudnn##name)* name = nullptr;
  ISOLOSS_CUDNN_FUNCTIONS(ISOLOSS_CUDNN_FUNCTION)
#undef ISOLOSS_CUDNN_FUNCTION

  /// Throws CudaFailure where the library is not there or older than kCudnnOldest.
  CudnnLibrary();

  /// Throws CudaFailure with the library's own words unless `status` is success.
  void check(cudnnStatus_t status, const char* what) const;
};

/// The type that cuDNN asks for beside a value. A descriptor is a void* to it, as an address is: addresses have their
/// own set.
template <class T>
constexpr cudnnBackendAttributeType_t cudnn_attribute_type() {
  if constexpr (std::is_same_v<T, cudnnHandle_t>) return CUDNN_TYPE_HANDLE;
  if constexpr (std::is_same_v<T, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
  if constexpr (std::is_same_v<T, bool>) return CUDNN_TYPE_BOOLEAN;
  if constexpr (std::is_same_v<T, std::int64_t>) return CUDNN_TYPE_INT64;
  if constexpr (std::is_same_v<T, float>) return CUDNN_TYPE_FLOAT;
  if constexpr (std::is_same_v<T, char>) return CUDNN_TYPE_CHAR;
  if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>) return CUDNN_TYPE_NUMERICAL_NOTE;
  if constexpr (std::is_same_v<T, cudnnPointwiseMode_t>) return CUDNN_TYPE_POINTWISE_MODE;
  if constexpr (std::is_same_v<T, cudnnReduceTensorOp_t>) return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;
  if constexpr (std::is_same_v<T, cudnnBackendDescriptor_t>) return CUDNN_TYPE_BACKEND_DESCRIPTOR;
}

/// One of cuDNN's descriptors: attributes are set, then it is finalized, then read or used by others. Every member
/// throws CudaFailure that names the descriptor.
class CudnnDescriptor {
 public:
  CudnnDescriptor(const CudnnLibrary& library, cudnnBackendDescriptorType_t type, const char* name)
      : library_(&library), name_(name) {
    library.check(library.BackendCreateDescriptor(type, &descriptor_), name);
  }
  ~CudnnDescriptor() {
    if (descriptor_ != nullptr) library_->BackendDestroyDescriptor(descriptor_);
  }
  CudnnDescriptor(CudnnDescriptor&& other) noexcept
      : library_(other.library_), name_(other.name_), descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;

  cudnnBackendDescriptor_t get() const { return descriptor_; }

  template <class T>
  void set(cudnnBackendAttributeName_t attribute, std::span<const T> values) {
    set(attribute, cudnn_attribute_type<T>(), values.size(), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t attribute, const T& value) {
    set(attribute, cudnn_attribute_type<T>(), 1, &value);
  }
  void set(cudnnBackendAttributeName_t attribute, const CudnnDescriptor& value) { set(attribute, value.get()); }
  void set_addresses(cudnnBackendAttributeName_t attribute, std::span<void* const> addresses) {
    set(attribute, CUDNN_TYPE_VOID_PTR, addresses.size(), addresses.data());
  }

  void finalize() { library_->check(library_->BackendFinalize(descriptor_), name_); }

  /// Reads at most as many values as there is room for, and returns how many there are.
  template <class T>
  std::size_t get(cudnnBackendAttributeName_t attribute, std::span<T> room) const {
    std::int64_t count = 0;
    library_->check(library_->BackendGetAttribute(descriptor_, attribute, cudnn_attribute_type<T>(),
                                                  static_cast<std::int64_t>(room.size()), &count, room.data()),
                    name_);
    return static_cast<std::size_t>(count);
  }
  template <class T>
  T get(cudnnBackendAttributeName_t attribute) const {
    T value{};
    get(attribute, std::span<T>(&value, 1));
    return value;
  }

 private:
  void set(cudnnBackendAttributeName_t attribute, cudnnBackendAttributeType_t type, std::size_t count,
           const void* values) {
    library_->check(
        library_->BackendSetAttribute(descriptor_, attribute, type, static_cast<std::int64_t>(count), values), name_);
  }

  const CudnnLibrary* library_;
  const char* name_;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace isoloss
