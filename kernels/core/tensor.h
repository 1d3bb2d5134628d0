// Tensors as every layer sees them: a pointer, an element type and a shape. Views never own.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace isoloss {

enum class DType : std::uint8_t { f32, f64, bf16, i32, u8 };

constexpr std::size_t bytes_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
    case DType::f32:
    case DType::i32:
      break;
  }
  return 4;
}
const char* name_of(DType dtype);

template <class T>
inline constexpr DType dtype_of = DType::u8;
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::i32;

/// Up to four dimensions, row-major and contiguous. Rank 0 means "absent".
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<std::int64_t> dimensions) {
    assert(dimensions.size() <= kMaxRank);
    for (const std::int64_t dimension : dimensions) dimensions_[static_cast<std::size_t>(rank_++)] = dimension;
  }

  constexpr int rank() const { return rank_; }
  /// Dimension `index`; negative counts from the back.
  constexpr std::int64_t operator[](int index) const {
    return dimensions_[static_cast<std::size_t>(index < 0 ? index + rank_ : index)];
  }
  constexpr std::int64_t count() const {
    std::int64_t product = rank_ > 0 ? 1 : 0;
    for (int i = 0; i < rank_; ++i) product *= dimensions_[static_cast<std::size_t>(i)];
    return product;
  }
  /// Product of all dimensions but the last: the number of rows.
  constexpr std::int64_t rows() const { return rank_ > 0 && (*this)[-1] != 0 ? count() / (*this)[-1] : 0; }
  constexpr bool operator==(const Shape& other) const = default;
  /// The same shape with another last dimension.
  constexpr Shape with_last(std::int64_t dimension) const {
    Shape shape = *this;
    shape.dimensions_[static_cast<std::size_t>(rank_ - 1)] = dimension;
    return shape;
  }
  /// The same shape without its last dimension.
  constexpr Shape without_last() const {
    Shape shape = *this;
    shape.dimensions_[static_cast<std::size_t>(--shape.rank_)] = 0;
    return shape;
  }
  std::string text() const;  ///< "[2, 64, 128]"

 private:
  std::array<std::int64_t, kMaxRank> dimensions_{};
  int rank_ = 0;
};

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;

  constexpr bool present() const { return shape.rank() > 0; }
  constexpr std::size_t bytes() const { return static_cast<std::size_t>(shape.count()) * bytes_of(dtype); }
  constexpr bool operator==(const TensorType&) const = default;
  std::string text() const;  ///< "f32[2, 64, 128]"
};

/// Non-owning view. `data` is a host pointer on `ref` and `cpu`, a device pointer on `cuda`. Absent when `data` is
/// null.
struct Tensor {
  void* data = nullptr;
  TensorType type;

  explicit operator bool() const { return data != nullptr; }
  const Shape& shape() const { return type.shape; }
  std::int64_t count() const { return type.shape.count(); }

  template <class T>
  T* as() const {
    assert(data == nullptr || type.dtype == dtype_of<T>);
    return static_cast<T*>(data);
  }
};

}  // namespace isoloss
