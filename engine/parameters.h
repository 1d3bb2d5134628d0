// ParameterStore: every parameter of a model in one contiguous range, its gradients and moments in ranges of the same
// layout, so that the optimizer and the global norm are one pass over memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/buffer.h"
#include "engine/graph.h"

namespace isoloss {

/// How a parameter starts. `normal`: mean 0, `std`; drawn from (seed, name) alone, so models that share a parameter's
/// name and shape share its start.
struct Initialisation {
  enum class Kind : std::uint8_t { zeros, ones, normal } kind = Kind::zeros;
  double std = 0;
};

struct ParameterInfo {
  std::string name;
  Shape shape;  ///< as in memory, padding included
  Initialisation init;
  std::int64_t rows = 0;    ///< rows (first dimension) that carry meaning; the rest is padding, kept zero
  std::int64_t offset = 0;  ///< elements from the start of each range
  bool decays = false;      ///< weight decay applies: two or more dimensions
  std::int64_t count() const { return shape.count(); }
  std::int64_t used() const { return shape.count() / shape[0] * rows; }
};

class ParameterStore {
 public:
  explicit ParameterStore(DType dtype = DType::f32) : dtype_(dtype) {}

  /// Declares a parameter. `rows` < 0: all of them.
  void declare(const std::string& name, const Shape& shape, Initialisation init, std::int64_t rows = -1);
  /// Lays out the ranges, decaying parameters first; call once after the last declare().
  void lay_out();
  /// Allocates the values, and the gradients where they are wanted; after lay_out().
  void allocate(bool with_gradients);
  /// Moments are allocated at the optimizer's wish, `ranges` of them, zeroed.
  void allocate_moments(int ranges);

  void initialise(std::uint64_t seed);

  DType dtype() const { return dtype_; }
  const std::vector<ParameterInfo>& all() const { return parameters_; }
  const ParameterInfo& info(std::string_view name) const;
  bool has(std::string_view name) const;

  Tensor value(std::string_view name) const { return view(values_, info(name)); }
  Tensor gradient(std::string_view name) const { return view(gradients_, info(name)); }
  Tensor moment(int range, std::string_view name) const {
    return view(moments_[static_cast<std::size_t>(range)], info(name));
  }

  /// Whole ranges, alignment gaps (zeros) included: [elements()].
  std::int64_t elements() const { return elements_; }
  std::int64_t decaying_elements() const { return decaying_; }
  Tensor values() const { return range(values_); }
  Tensor gradients() const { return range(gradients_); }
  Tensor moments(int index) const { return range(moments_[static_cast<std::size_t>(index)]); }
  int moment_ranges() const { return static_cast<int>(moments_.size()); }

  /// Trained numbers, padding left out.
  std::int64_t trained() const;
  std::size_t bytes() const;

 private:
  Tensor view(const Buffer& buffer, const ParameterInfo& info) const;
  Tensor range(const Buffer& buffer) const;

  DType dtype_;
  std::vector<ParameterInfo> parameters_;
  std::int64_t elements_ = 0, decaying_ = 0;
  Buffer values_, gradients_;
  std::vector<Buffer> moments_;
};

}  // namespace isoloss
